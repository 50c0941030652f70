#!/bin/sh
# Builds the guest that the demo and the end-to-end tests run, from Debian packages and the sources beside this script:
#   build-guest.sh DIRECTORY     makes DIRECTORY/{vmlinuz,initrd,disk.img}; does nothing if they are newer than the sources
# Needs no root. Debian's cloud kernel has ext4 built in and virtio as modules; these go into the initrd.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
disk_mib=512
modules="virtio_pci virtio_blk virtio_net ext4"

fail() {
    echo "build-guest: $*" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: build-guest.sh DIRECTORY"
mkdir -p "$1"
out=$(cd "$1" && pwd)

# One builder at a time; who waited finds the work done.
exec 9> "$out/lock"
flock 9
stamp=$(cat "$here"/* | sha256sum)
if [ -s "$out/disk.img" ] && [ "$(cat "$out/stamp" 2> /dev/null)" = "$stamp" ]; then
    exit 0
fi
rm -f "$out/stamp"

for tool in apt-get apt-cache dpkg-deb gcc busybox gzip /sbin/mke2fs flock; do
    command -v "$tool" > /dev/null \
        || fail "$tool is missing: run apt-get install busybox e2fsprogs gcc libc6-dev on a Debian system"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
mkdir "$work/debs" "$work/kernel" "$work/initrd" "$work/root"

kernel_package() {
    apt-cache show --no-all-versions linux-image-cloud-amd64 2> /dev/null \
        | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p'
}

# Lists may be absent or older than the mirror: then they are fetched again, once.
download() {
    kernel=$(kernel_package)
    [ -n "$kernel" ] || return 1
    # shellcheck disable=SC2046 # one word a package
    (cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$kernel" \
        $(sed 's/#.*//' "$here/packages")) > "$work/apt.log" 2>&1
}
if ! download; then
    apt-get -qq update > "$work/apt.log" 2>&1 || fail "apt-get update: $(tail -n 1 "$work/apt.log")"
    download || fail "packages cannot be downloaded: $(tail -n 1 "$work/apt.log")"
fi

dpkg-deb -x "$work"/debs/linux-image-*.deb "$work/kernel"
cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"

mkdir -p "$work/initrd/bin" "$work/initrd/modules" "$work/initrd/dev" "$work/initrd/proc" "$work/initrd/root"
dpkg-deb -x "$work"/debs/busybox-static_*.deb "$work/busybox"
busybox=$(find "$work/busybox" -type f -path '*/bin/busybox')
cp "$busybox" "$work/initrd/bin/busybox"
for applet in sh mount insmod usleep poweroff switch_root; do
    ln -s busybox "$work/initrd/bin/$applet"
done
# Adds a module after those it depends on, by what it says about itself.
add_module() {
    grep -qx "$1.ko" "$work/initrd/modules/order" && return
    found=$(find "$work/kernel" \( -name "$1.ko" -o -name "$1.ko.xz" \) | head -n 1)
    case $found in
    '') return ;; # built in, or not there in this kernel: the boot shows which
    *.xz) xz -dc "$found" > "$work/initrd/modules/$1.ko" ;;
    *) cp "$found" "$work/initrd/modules/$1.ko" ;;
    esac
    for needed in $(tr '\0' '\n' < "$work/initrd/modules/$1.ko" | sed -n 's/^depends=//p' | tr ',' ' '); do
        add_module "$needed"
    done
    echo "$1.ko" >> "$work/initrd/modules/order"
}
: > "$work/initrd/modules/order"
for module in $modules; do
    add_module "$module"
done
[ -s "$work/initrd/modules/virtio_blk.ko" ] || fail "the kernel package has no virtio_blk module"
install -m 755 "$here/initramfs-init" "$work/initrd/init"
(cd "$work/initrd" && find . | busybox cpio -o -H newc -R 0:0 2> /dev/null | gzip -1) > "$work/initrd.gz"

for deb in "$work"/debs/*.deb; do
    case $deb in
    */linux-image-*) ;;
    *) dpkg-deb -x "$deb" "$work/root" ;;
    esac
done
for directory in bin sbin dev proc sys run data tmp root etc usr/bin usr/sbin; do
    mkdir -p "$work/root/$directory"
done
for applet in $("$busybox" --list); do
    [ -e "$work/root/bin/$applet" ] || ln -s /bin/busybox "$work/root/bin/$applet"
done
cp "$work/root/usr/share/base-passwd/passwd.master" "$work/root/etc/passwd"
cp "$work/root/usr/share/base-passwd/group.master" "$work/root/etc/group"
rm -f "$work/root/sbin/init"
install -m 755 "$here/init" "$work/root/sbin/init"
for program in ledger load work; do
    gcc -std=c17 -O2 -static -Wall -Wextra -Werror -o "$work/root/bin/$program" "$here/$program.c"
done
# No lazy initialisation: the guest's kernel would go on writing for minutes.
/sbin/mke2fs -qF -t ext4 -L vmft-guest -m 0 -E root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0 \
    -d "$work/root" "$work/disk.img" "${disk_mib}M" > /dev/null

mv "$work/vmlinuz" "$out/vmlinuz"
mv "$work/initrd.gz" "$out/initrd"
cp --sparse=always "$work/disk.img" "$out/disk.img"
echo "$stamp" > "$out/stamp"
