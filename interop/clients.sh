#!/bin/sh
# shellcheck disable=SC2317,SC2154 # "check" calls the functions; blkserver.py gives uri_tcp, uri_unix and image
# Independent clients against blk-server: fio, nbdcopy, nbdinfo, nbdfuse, qemu-img, nbdsh. Runs itself below blkserver.py.
#   clients.sh WORK
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$1
if [ -z "${uri_tcp:-}" ]; then
    exec python3 "$here/blkserver.py" 256M "$0" "$@"
fi
folder=$work/clients
rm -rf "$folder"
mkdir -p "$folder"
. "$here/checks.sh"

# --- fio: several writers, each its own range, sizes that no block divides; what was written is read back and checked ---

# verify URI RW [OPTION...]
verify() {
    uri=$1
    rw=$2
    shift 2
    fio --name=verify --ioengine=nbd "--uri=$uri" "--rw=$rw" --bsrange=512-64k --bs_unaligned --size=24m --numjobs=3 \
        --offset_increment=32m --iodepth=32 --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 \
        --group_reporting "$@"
}

if installed fio; then
    for transport in tcp unix; do
        eval "uri=\$uri_$transport"
        check "fio verify randwrite $transport" verify "$uri" randwrite --verify_backlog=512
        check "fio verify randrw fsync $transport" verify "$uri" randrw --fsync=64
        check "fio verify write fua $transport" verify "$uri" write --sync=1
    done
    # fio cannot verify what it trims: the mix must end without an error, and the pattern after it.
    check "fio trimwrite" fio --name=trim --ioengine=nbd "--uri=$uri_unix" --rw=trimwrite --bs=64k --size=64m --iodepth=32
fi

# --- a picture of data and holes, through every program and back ---

pattern "$folder/pattern"

if installed nbdcopy; then
    for transport in tcp unix; do
        eval "uri=\$uri_$transport"
        there() { nbdcopy --connections=4 --requests=64 --flush "$folder/pattern" "$uri"; }
        back() { rm -f "$folder/back"; nbdcopy --connections=4 --requests=64 "$uri" "$folder/back" && cmp "$folder/pattern" "$folder/back"; }
        check "nbdcopy 4 connections, in, $transport" there
        check "nbdcopy 4 connections, out, $transport" back
    done
    sparse() { [ "$(du -k "$folder/back" | cut -f1)" -lt 60000 ]; }
    check "nbdcopy keeps holes" sparse
    check "the image is what was written" cmp "$folder/pattern" "$image"
fi

if installed nbdinfo; then
    check "nbdinfo" nbdinfo "$uri_unix"
    check "nbdinfo --list" nbdinfo --list "${uri_tcp%/*}"
    # The map must tell the truth: every stretch it calls zero is zero in the file, and it covers the volume.
    truth() {
        nbdinfo --map --json "$uri_unix" > "$folder/map.json" && python3 - "$folder/map.json" "$folder/pattern" << 'END'
import json, sys
stretches, at, zero = json.load(open(sys.argv[1])), 0, 0
with open(sys.argv[2], "rb") as file:
    for stretch in stretches:
        assert stretch["offset"] == at, stretch
        at += stretch["length"]
        data = file.read(stretch["length"])
        if stretch["type"] & 2:
            assert data.count(0) == len(data), stretch
            zero += len(data)
assert at == 256 << 20 and zero > 200 << 20, (at, zero)
END
    }
    check "nbdinfo --map tells the truth" truth
    for ability in multi-conn flush fua trim zero cache df fast-zero structured-reply; do
        check "nbdinfo --can $ability" nbdinfo "--can=$ability" "$uri_unix"
    done
fi

if installed qemu-img; then
    check "qemu-img compare" qemu-img compare -f raw -F raw "$folder/pattern" "$uri_tcp"
    round() {
        qemu-img convert -p -W -m 8 -f raw -O qcow2 "$uri_unix" "$folder/disk.qcow2" \
            && qemu-img compare -f qcow2 -F raw "$folder/disk.qcow2" "$folder/pattern" \
            && qemu-img convert -n -m 8 -f qcow2 -O raw "$folder/disk.qcow2" "$uri_unix" \
            && qemu-img compare -f raw -F raw "$folder/pattern" "$uri_tcp"
    }
    check "qemu-img convert there and back" round
    # Where the client sees zeroes, the file has them.
    mapped() {
        qemu-img map --output=json -f raw "$uri_tcp" > "$folder/qmap.json" && python3 - "$folder/qmap.json" << 'END'
import json, sys
stretches = json.load(open(sys.argv[1]))
assert sum(stretch["length"] for stretch in stretches) == 256 << 20
assert sum(stretch["length"] for stretch in stretches if stretch["zero"]) > 200 << 20
END
    }
    check "qemu-img map" mapped
    bench() { qemu-img bench -f raw -w --flush-interval=64 -c 4096 -d 32 -s 4096 -t none "$uri_unix"; }
    check "qemu-img bench -w" bench
    check "nbdcopy restores the pattern" nbdcopy --flush "$folder/pattern" "$uri_unix"
fi

if installed nbdfuse; then
    if [ -w /dev/fuse ] && installed fusermount3; then
        mkdir "$folder/fuse"
        : > "$folder/fuse/nbd"
        fuse() {
            nbdfuse -C 4 -P "$folder/fuse.pid" "$folder/fuse/nbd" "$uri_unix" &
            guard=$!
            timeout 30 sh -c "until test -s '$folder/fuse.pid'; do sleep 0.1; done" || return 1
            cmp "$folder/pattern" "$folder/fuse/nbd" \
                && dd if=/dev/urandom of="$folder/random" bs=1000 count=7001 2> /dev/null \
                && dd if="$folder/random" of="$folder/fuse/nbd" bs=1000 seek=77 conv=notrunc,fsync 2> /dev/null \
                && dd if="$folder/random" of="$folder/pattern" bs=1000 seek=77 conv=notrunc 2> /dev/null \
                && cmp "$folder/pattern" "$folder/fuse/nbd"
            result=$?
            fusermount3 -u "$folder/fuse/nbd" && wait "$guard"
            [ "$result" -eq 0 ] && cmp "$folder/pattern" "$image"
        }
        check "nbdfuse reads, writes, syncs" fuse
    else
        skip nbdfuse "/dev/fuse cannot be opened"
    fi
fi

# nbdsh is a Python module of Debian's; another Python on PATH does not have it.
if /usr/bin/python3 -c 'import nbd' 2> /dev/null; then
    shell() {
        /usr/bin/python3 - "$uri_unix" << 'END'
import sys, nbd
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.connect_uri(sys.argv[1])
assert h.can_meta_context("base:allocation") and h.can_multi_conn() and h.can_df() and not h.is_read_only()
h.pwrite(b"x" * 1000, 12345, nbd.CMD_FLAG_FUA)
assert h.pread(1002, 12344)[1:-1] == b"x" * 1000
h.zero(500, 12400)
assert h.pread(1000, 12345) == b"x" * 55 + bytes(500) + b"x" * 445
h.trim(4096, 16384)
h.cache(65536, 0)
found = []
h.block_status(1 << 20, 0, lambda context, offset, extents, error: found.append((context, extents)))
assert found[0][0] == "base:allocation" and sum(found[0][1][0::2]) >= 1
for bad in (lambda: h.pread(1, h.get_size()), lambda: h.pwrite(b"x", h.get_size())):
    try:
        bad()
        raise SystemExit("past the end: no error")
    except nbd.Error:
        pass
h.set_strict_mode(0)
for bad, expected in ((lambda: h.pread(1, h.get_size()), "EINVAL"), (lambda: h.pwrite(b"x", h.get_size()), "ENOSPC")):
    try:
        bad()
        raise SystemExit("past the end: no error")
    except nbd.Error as error:
        assert error.errno == expected, error
h.shutdown()
END
    }
    check "nbdsh" shell
else
    skip nbdsh "python3-libnbd is not installed"
fi

exit $failed
