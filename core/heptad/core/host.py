"""The name and the machine id of this host, also if its root is mounted into a container."""

import re
import socket
from pathlib import Path
from typing import Final

HOST_NAME: Final = re.compile(r"[\w.-]{1,253}")
"""What a host name may look like."""
_LONGEST: Final = 4096
_MACHINE_ID: Final = ("etc/machine-id", "var/lib/dbus/machine-id")


def host_name(root: Path) -> str:
    """Return the name of the host whose root directory is ``root``.

    In a container the kernel returns the container's name; the host's name is in its /etc/hostname
    (hostname(5)).
    """
    if root != Path("/"):
        try:
            with (root / "etc/hostname").open(encoding="utf-8") as file:
                lines = (line.strip() for line in file.read(_LONGEST).splitlines())
                name = next((line for line in lines if line and not line.startswith("#")), "")
        except (OSError, ValueError):
            name = ""
        if name:
            return name
    return socket.gethostname()


def machine_id(root: Path) -> str | None:
    """Return the id of the machine with this root directory, machine-id(5); None if it has none."""
    for path in _MACHINE_ID:
        try:
            with (root / path).open(encoding="ascii") as file:
                found = file.read(_LONGEST).strip()
        except (OSError, ValueError):
            continue
        if found:
            return found
    return None
