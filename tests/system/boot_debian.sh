#!/bin/sh
# Boot the systemd of another Debian in its own namespaces, and discard what it writes.
# $1: the root directory of that Debian; $2: a directory, mounted there as /out, with units/ for
# systemd and watched.target, which ends the boot with `systemctl exit`.
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
root=/mnt/root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mount --rbind /dev $root/dev
mkdir $root/out
mount --bind "$2" $root/out
cp "$2"/units/* $root/etc/systemd/system/

ip link set lo up
hostname debian-12
cd $root
mkdir old
pivot_root . old
umount -l /old
rmdir /old
mount --make-rshared /
exec env -i container=heptad PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=watched.target --log-target=console
