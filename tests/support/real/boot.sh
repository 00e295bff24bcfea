#!/bin/sh
# Boot systemd in its own namespaces, on a temporary copy of this machine's file system.
# $1: the project, $2: Python, $3: its packages, $4: a directory with units/ and report.sh, also for
# the results.
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
root=/mnt/root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mount --rbind /dev $root/dev

# their original directories may be readable by root only
mkdir -p $root/opt/project $root/opt/python $root/opt/packages $root/out $root/opt/heptad/bin
mount --bind "$1" $root/opt/project
mount --bind "$2" $root/opt/python
mount --bind "$3" $root/opt/packages
mount --bind "$4" $root/out
cat >$root/opt/heptad/bin/heptad <<'END'
#!/bin/sh
project=/opt/project/core:/opt/project/exporter:/opt/project/aggregator:/opt/project/cli
LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=$project:/opt/packages \
    exec /opt/python/bin/python3 -m heptad "$@"
END
chmod 755 $root/opt/heptad/bin/heptad

# start only the given units, none of this machine's
rm -rf $root/etc/systemd/system/* $root/var/lib/heptad $root/var/lib/private/heptad
cp "$4"/units/* $root/etc/systemd/system/
mkdir -p $root/etc/heptad $root/etc/credstore
echo '{}' >$root/etc/heptad/heptad.yaml
(umask 077 && echo a-token >$root/etc/credstore/heptad-exporter.token)

ip link set lo up
cd $root
mkdir -p old
pivot_root . old
umount -l /old
# systemd does this as the first process of a machine; without it, credentials are not mounted
mount --make-rshared /
exec env -i container=heptad PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=watched.target --log-target=console
