#!/bin/sh
# nbd-client and the Linux kernel's NBD driver, in a guest under QEMU's own emulation, against blk-server:
#   kernel.sh WORK
# The guest reaches the server at 10.0.2.2, QEMU's name for this machine's loopback. Runs itself below blkserver.py.
# shellcheck disable=SC2154 # blkserver.py gives uri_tcp and image
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$1
if [ -z "${uri_tcp:-}" ]; then
    exec python3 "$here/blkserver.py" 192M "$0" "$@"
fi
guest=$work/guest
mkdir -p "$guest/debs"

kernel=$(apt-cache show --no-all-versions linux-image-cloud-amd64 2> /dev/null | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p')
if [ "$(cat "$guest/kernel" 2> /dev/null)" != "$kernel" ] || [ -z "$kernel" ]; then
    rm -rf "$guest/unpacked" "$guest"/debs/*
    (cd "$guest/debs" && apt-get -qq -o APT::Sandbox::User=root download "$kernel") > "$guest/apt.log" 2>&1 \
        || { echo "skipped kernel nbd: its package cannot be had: $(tail -n 1 "$guest/apt.log")"; exit 77; }
    dpkg-deb -x "$guest"/debs/linux-image-*.deb "$guest/unpacked"
    echo "$kernel" > "$guest/kernel"
fi

root=$guest/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/modules" "$root/dev" "$root/proc" "$root/sys" "$root/mnt"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh mount umount insmod ip md5sum dd cat sync poweroff usleep blockdev cmp fstrim mkdir grep mknod; do
    ln -s busybox "$root/bin/$applet"
done
# Programs of this machine, with the libraries they name; busybox is Debian's too, so they fit this kernel.
for program in nbd-client mke2fs e2fsck; do
    path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$program")
    cp "$path" "$root/bin/$program"
    for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
for library in $(ldd "$(command -v busybox)" 2> /dev/null | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
: > "$root/modules/order"
add_module() {
    ! grep -qx "$1.ko" "$root/modules/order" || return 0
    found=$(find "$guest/unpacked/lib/modules" \( -name "$1.ko" -o -name "$1.ko.xz" \) | head -n 1)
    case $found in
    '') return 0 ;; # built in
    *.xz) xz -dc "$found" > "$root/modules/$1.ko" ;;
    *) cp "$found" "$root/modules/$1.ko" ;;
    esac
    for needed in $(tr '\0' '\n' < "$root/modules/$1.ko" | sed -n 's/^depends=//p' | tr ',' ' '); do
        add_module "$needed"
    done
    echo "$1.ko" >> "$root/modules/order"
}
for module in virtio_pci virtio_net nbd ext4; do
    add_module "$module"
done
grep -qx nbd.ko "$root/modules/order" || { echo "skipped kernel nbd: the kernel package has no nbd module"; exit 77; }
install -m 755 "$here/kernel-init" "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc -R 0:0 2> /dev/null | gzip -1) > "$guest/initrd"

port=${uri_tcp##*:}
port=${port%%/*}
console=$guest/console.log
failed=0
timeout 300 qemu-system-x86_64 -accel tcg -m 384 -display none -no-reboot -serial "file:$console" -monitor none \
    -kernel "$guest"/unpacked/boot/vmlinuz-* -initrd "$guest/initrd" \
    -append "console=ttyS0 quiet panic=-1 nbd=10.0.2.2:$port" \
    -netdev user,id=net -device virtio-net-pci,netdev=net > "$guest/qemu.log" 2>&1 || failed=1
tr -d '\r' < "$console" | sed -n -E 's/^(passed|FAILED) /\1 kernel nbd: /p'
tr -d '\r' < "$console" | grep -qx 'kernel-init: all passed' || failed=1
# What the guest's kernel wrote, judged here.
PATH=$PATH:/usr/sbin:/sbin e2fsck -fn "$image" > "$guest/e2fsck.log" 2>&1 || failed=1
[ $failed -eq 0 ] || echo "FAILED kernel nbd (the guest's console: $console)"
exit $failed
