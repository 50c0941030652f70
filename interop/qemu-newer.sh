#!/bin/sh
# shellcheck disable=SC2317,SC2154 # "check" calls the functions; blkserver.py gives uri_tcp, uri_unix and image
# The tools of a newer QEMU than the system's, from its backports, against blk-server: QEMU from 8.2 on uses extended headers. Runs itself below
# blkserver.py.
#   qemu-newer.sh WORK
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$1
if [ -z "${uri_tcp:-}" ]; then
    exec python3 "$here/blkserver.py" 256M "$0" "$@"
fi
folder=$work/qemu-newer
rm -rf "$folder"
mkdir -p "$folder"
. "$here/checks.sh"
. "$here/sources.sh"

if ! unpack_backport qemu-utils > "$folder/apt.log" 2>&1; then
    skip qemu-newer "there is no backport of qemu-utils to be had: $(tail -n 1 "$folder/apt.log")"
    exit 77
fi
tools=$work/backports/root/usr/bin
if ! version=$("$tools/qemu-img" --version 2> "$folder/version.log" | sed -n '1s/.* version \([^ ]*\).*/\1/p'); then
    skip qemu-newer "the backport does not run here: $(tail -n 1 "$folder/version.log")"
    exit 77
fi

pattern "$folder/pattern"
for transport in tcp unix; do
    eval "uri=\$uri_$transport"
    into() {
        "$tools/qemu-img" convert -n -W -m 8 -f raw -O raw "$folder/pattern" "$uri" && cmp "$folder/pattern" "$image"
    }
    check "qemu-img $version, in, $transport" into
    out() {
        rm -f "$folder/disk.qcow2"
        "$tools/qemu-img" convert -W -m 8 -f raw -O qcow2 "$uri" "$folder/disk.qcow2" \
            && "$tools/qemu-img" compare -f qcow2 -F raw "$folder/disk.qcow2" "$folder/pattern"
    }
    check "qemu-img $version, out, $transport" out
    # Writes with and without FUA, of a block and of less; zeroes, a trim; all of it read back.
    commands() {
        "$tools/qemu-io" -f raw -c 'write -P 5 0 1M' -c 'write -z 1M 8M' -c 'discard 16M 4M' -c 'write -f -P 7 33M 3k' -c flush \
            -c 'read -P 5 0 1M' -c 'read -P 0 1M 8M' -c 'read -P 7 33M 3k' "$uri" > "$folder/said" || return 1
        cat "$folder/said"
        ! grep -q -i 'fail\|error' "$folder/said"
    }
    check "qemu-io $version, $transport" commands
    check "qemu-img bench -w $version, $transport" \
        "$tools/qemu-img" bench -f raw -w --flush-interval=64 -c 4096 -d 32 -s 4096 "$uri"
done

exit "$failed"
