#!/bin/sh
# QEMU's own tests of raw images over NBD, from Debian's source package, against blk-server in qemu-nbd's place:
#   qemu-iotests.sh WORK [TEST...]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$1
shift
[ $# -gt 0 ] || set -- 001 002 003 004 008 009 010 011 021 032 033 077 123
# shellcheck source=interop/sources.sh
. "$here/sources.sh"
unpack qemu || { echo "skipped qemu-iotests: QEMU's source package cannot be had: $(tail -n 1 "$work/apt/qemu.log")"; exit 77; }

# The harness sleeps a second in the hope that the server listens by then: wait for it.
suite=$work/qemu/tests/qemu-iotests
# shellcheck disable=SC2016 # for the harness to expand
sed -i 's|sleep 1 # FIXME: qemu-nbd needs.*|timeout 60 sh -c "until test -e \\"$QEMU_TEST_DIR/qemu-nbd.pid\\"; do sleep 0.05; done"|' "$suite/common.rc"
grep -q 'until test -e' "$suite/common.rc"

export QEMU_PROG=/usr/bin/qemu-system-x86_64 QEMU_IMG_PROG=/usr/bin/qemu-img QEMU_IO_PROG=/usr/bin/qemu-io
export QSD_PROG=/usr/bin/qemu-storage-daemon QEMU_NBD_PROG="$here/bin/qemu-nbd"
export TEST_DIR="$work/iotests" SOCK_DIR="$work/s"
rm -rf "$TEST_DIR" "$SOCK_DIR"
mkdir -p "$TEST_DIR" "$SOCK_DIR"
log=$work/qemu-iotests.log
cd "$suite"
# The harness leaves out, quietly, what it does not find.
for test; do
    [ -e "$test" ] || { echo "FAILED qemu-iotests $test: Debian's package has no such test"; exit 1; }
done
status=0
python3 ./check -raw -nbd -tap "$@" > "$log" 2>&1 || status=$?
sed -n -E 's/^ok raw ([0-9]+)$/passed qemu-iotests \1/p; s/^ok raw ([0-9]+) # SKIP(.*)/skipped qemu-iotests \1:\2/p
    s/^not ok raw ([0-9]+)(.*)/FAILED qemu-iotests \1\2/p' "$log"
[ $status -eq 0 ] || echo "all of it: $log"
exit $status
