#!/bin/sh
# Run a command as Docker does in the exporter's container: with its own file system, and the host's
# /, /proc and /sys read-only below /host. Host and container are copies of this machine.
# $1: a directory with files of the host in host/, the configuration in config/, the volume in state/;
# $2: setpriv's --bounding-set; then the command.
set -e
folder=$1 capabilities=$2
shift 2
hostname container
mount -t tmpfs tmpfs /mnt
mkdir /mnt/host.work /mnt/host /mnt/upper /mnt/work /mnt/root
cp -a "$folder/host" /mnt/host.upper
mount -t overlay -o lowerdir=/,upperdir=/mnt/host.upper,workdir=/mnt/host.work overlay /mnt/host
mount -t tmpfs -o mode=755 tmpfs /mnt/host/run
mount --rbind /proc /mnt/host/proc
mount --rbind /sys /mnt/host/sys

root=/mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay $root
rm -rf $root/etc/machine-id $root/var/log
mkdir -p $root/host $root/etc/heptad $root/var/lib/heptad/exporter
mount --bind /dev $root/dev
mount -t proc proc $root/proc
mount --bind "$folder/config" $root/etc/heptad
mount --bind "$folder/state" $root/var/lib/heptad/exporter
mount --rbind --make-rslave /mnt/host $root/host
for part in /host /host/run /host/proc /host/sys /etc/heptad; do
    mount -o remount,bind,ro $root$part
done
exec chroot $root setpriv "$capabilities" --no-new-privs "$@"
