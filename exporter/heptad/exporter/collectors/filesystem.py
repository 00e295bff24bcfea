"""Filesystems: /proc/1/mounts and statvfs(3).

psutil is not used: its `free` is what node_exporter calls available, and it has no inodes.
"""

import os
import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, label, read
from heptad.exporter.collectors.runner import Runner

# Debian's defaults for node_exporter's --collector.filesystem.mount-points-exclude and
# --collector.filesystem.fs-types-exclude
EXCLUDED_MOUNTS = re.compile(
    r"/(dev|proc|run|sys|mnt|media|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)"
)
EXCLUDED_TYPES = re.compile(
    "autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|"
    "mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs"
)
# These depend on no other machine and no user's process, so they do not hang.
LOCAL_TYPES = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "vfat", "xfs", "zfs"}
)
MOUNT_TIMEOUT = 1.0  # seconds

_LABELS = ("device", "mountpoint", "fstype")


def _gauge(name: str, text: str) -> Family:
    return Family(f"node_filesystem_{name}", "gauge", text, _LABELS)


_SIZE = _gauge("size_bytes", "Size.")
_FREE = _gauge("free_bytes", "Free space, including space reserved for root.")
_AVAIL = _gauge("avail_bytes", "Free space available to every user.")
_FILES = _gauge("files", "Inodes.")
_FILES_FREE = _gauge("files_free", "Free inodes.")
_READONLY = _gauge("readonly", "1 if it is mounted read-only.")
_ERROR = _gauge("device_error", "1 if statvfs(3) failed or hangs; the others are then missing.")
FAMILIES: tuple[Family, ...] = (
    _SIZE,
    _FREE,
    _AVAIL,
    _FILES,
    _FILES_FREE,
    _READONLY,
    _ERROR,
)

_ESCAPE = re.compile(r"\\([0-7]{3})")
_remote: Runner[os.statvfs_result] = Runner("remote-mounts", MOUNT_TIMEOUT)


class _Mount(NamedTuple):
    device: str
    point: str
    type: str
    options: str

    def labels(self) -> tuple[str, str, str]:
        return label(self.device), label(self.point), label(self.type)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file.

    For a mount that hangs, only its own figures are missing, and it is not read again until the
    pending call returns. Blocks are multiplied by f_frsize, as POSIX and df(1) do; node_exporter
    uses f_bsize, which differs, and is wrong, on some FUSE filesystems.
    """
    mounts = {mount.labels(): mount for mount in _mounts(host)}
    answers = _ask(host, list(mounts.values()))
    good = [(labels, answers[mount.point]) for labels, mount in mounts.items()]
    space = [(labels, answer) for labels, answer in good if answer is not None]
    yield _SIZE.metric((labels, float(s.f_blocks * s.f_frsize)) for labels, s in space)
    yield _FREE.metric((labels, float(s.f_bfree * s.f_frsize)) for labels, s in space)
    yield _AVAIL.metric((labels, float(s.f_bavail * s.f_frsize)) for labels, s in space)
    yield _FILES.metric((labels, float(s.f_files)) for labels, s in space)
    yield _FILES_FREE.metric((labels, float(s.f_ffree)) for labels, s in space)
    yield _READONLY.metric(
        (labels, float("ro" in mounts[labels].options.split(","))) for labels, _ in space
    )
    yield _ERROR.metric((labels, float(answer is None)) for labels, answer in good)


def _mounts(host: HostRoots) -> Iterator[_Mount]:
    """Return the mounts of process 1, because the service's own namespace may not have all."""
    try:
        text = read(f"{host.proc}/1/mounts")
    except (FileNotFoundError, PermissionError):
        text = read(f"{host.proc}/mounts")
    for line in text.split("\n")[:-1]:
        device, point, type_, options, *_ = line.split(" ")
        mount = _Mount(device, _unescape(point), type_, options)
        if not (EXCLUDED_TYPES.fullmatch(type_) or EXCLUDED_MOUNTS.match(mount.point)):
            yield mount


def _unescape(text: str) -> str:
    r"""Decode octal escapes (\040), proc_pid_mounts(5): space, tab, newline, backslash, '#'."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text) if "\\" in text else text


def _ask(host: HostRoots, mounts: list[_Mount]) -> dict[str, os.statvfs_result | None]:
    root = str(host.root).rstrip("/")
    answers: dict[str, os.statvfs_result | None] = {}
    doubtful = {}
    for mount in mounts:
        ask = partial(os.statvfs, f"{root}{mount.point}")
        if mount.type not in LOCAL_TYPES:
            doubtful[f"{root}{mount.point}"] = (mount.point, ask)
            continue
        try:
            answers[mount.point] = ask()
        except OSError:
            answers[mount.point] = None
    outcomes = _remote.run([(path, ask) for path, (_, ask) in doubtful.items()])
    for path, (point, _) in doubtful.items():
        answers[point] = outcomes[path].value
    return answers
