#!/bin/sh
# libnbd's own data integrity tests, from Debian's source package, against blk-server:
#   libnbd.sh WORK plain|tls
# The tests are compiled as they are and run by the scripts that come with them; "nbdkit" is interop/bin/nbdkit. With TLS, blk-server has
# certificates where nbdkit has a shared key, so the two calls that name the key name certificates instead.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$1
which=$2
# shellcheck source=interop/sources.sh
. "$here/sources.sh"
unpack libnbd || { echo "skipped libnbd: its source package cannot be had: $(tail -n 1 "$work/apt/libnbd.log")"; exit 77; }

build=$work/libnbd-tests
mkdir -p "$build"
: > "$build/config.h"
PATH=$here/bin:$PATH
export PATH VG=
cd "$build"
case $which in
plain) tests="aio-parallel aio-parallel-load synch-parallel" ;;
tls) tests="aio-parallel-tls aio-parallel-load-tls synch-parallel-tls" ;;
esac
if [ "$which" = tls ]; then
    [ -e pki/client-cert.pem ] || SRCDIR=$work/libnbd/tests CERTTOOL=certtool sh "$work/libnbd/tests/make-pki.sh" pki > pki.log 2>&1
    VMFT_INTEROP_PKI=$build/pki
    export VMFT_INTEROP_PKI
    # The scripts read it from the folder beside theirs; its only variable is where autoconf found the sources.
    mkdir -p "$work/tests"
    sed "s,@abs_top_srcdir@,$work/libnbd," "$work/libnbd/tests/functions.sh.in" > "$work/tests/functions.sh"
fi
if [ "$which" = tls ] && ! "$here/../vmft" blk-server --help | grep -q -e '--tls-certificates'; then
    echo "skipped libnbd tls: blk-server has no TLS"
    exit 77
fi
failed=0
for test in $tests; do
    source=${test%-tls}
    set --
    [ "$source" = "$test" ] || set -- -DTLS -include "$here/tls-names.h"
    gcc -O2 -w "$@" -I. -I"$work/libnbd/common/include" -I"$work/libnbd/tests" -o "$test" \
        "$work/libnbd/tests/$source.c" -lnbd -lpthread
    if bash "$work/libnbd/tests/$test.sh" > "$test.log" 2>&1; then
        echo "passed libnbd $test: $(sed -n 's/^I\/O requests: //p' "$test.log")"
    else
        echo "FAILED libnbd $test: $(tail -n 1 "$test.log") (all of it: $build/$test.log)"
        failed=1
    fi
done
exit $failed
