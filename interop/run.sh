#!/bin/sh
# The suites that others wrote, against blk-server; docs/interop.md says what each is.
#   run.sh quick|full [SUITE...]
# Work is done, and sources are kept, in target/interop. Exit status 1 if anything failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(dirname "$here")/target/interop
mkdir -p "$work"
VMFT_INTEROP_LOG=$work/blk-server.log
export VMFT_INTEROP_LOG
: > "$VMFT_INTEROP_LOG"
# Each start of a server must not look for something to build.
VMFT_PREPARED=1
export VMFT_PREPARED
[ -d "$here/../dist/target/lib" ] || { echo "nothing is built: ./vmft build" >&2; exit 2; }
kind=$1
shift
if [ $# -eq 0 ]; then
    set -- libnbd qemu-iotests clients
    [ "$kind" = quick ] || set -- "$@" libnbd-tls kernel qemu-newer
fi
results=$work/results
: > "$results"

run_suite() {
    case $1 in
    libnbd) "$here/libnbd.sh" "$work" plain ;;
    libnbd-tls) "$here/libnbd.sh" "$work" tls ;;
    qemu-iotests | clients | kernel | qemu-newer) "$here/$1.sh" "$work" ;;
    *) echo "FAILED: there is no suite $1; there are libnbd, libnbd-tls, qemu-iotests, clients, kernel, qemu-newer" ;;
    esac
}

for suite; do
    { run_suite "$suite" 2>&1; echo $? > "$work/status"; } | tee -a "$results"
    status=$(cat "$work/status")
    # A suite that ends early must not pass for one that found nothing.
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && ! grep -q '^FAILED' "$results"; then
        echo "FAILED $suite: exit status $status" | tee -a "$results"
    fi
done
echo "interop: $(grep -c '^passed' "$results") passed, $(grep -c '^FAILED' "$results") failed, $(grep -c '^skipped' "$results") skipped"
! grep -q '^FAILED' "$results"
