"""A real systemd-journald that owns /dev/log in a sandbox."""

import json
import uuid
from typing import Any

from tests.support.real.sandbox import Sandbox, wait_until

FORWARDED = 'module(load="imuxsock" SysSock.Name="/run/systemd/journal/syslog")'
"""rsyslog's input if journald forwards to it (Debian); systemd.io, "Syslog"."""
IMJOURNAL = 'module(load="imjournal" StateFile="imjournal.state")'
"""rsyslog's input if it reads the journal itself (Red Hat); rsyslog.conf, "imjournal"."""


def start(sandbox: Sandbox, *, forward: bool = False) -> None:
    """Start journald; its files are in `sandbox.journal`, for `journalctl --directory`.

    With `forward`, an rsyslog with the input `FORWARDED` receives the same lines.
    """
    config = f"""[Journal]
Storage=volatile
ReadKMsg=no
RateLimitIntervalSec=0
ForwardToSyslog={"yes" if forward else "no"}
ForwardToWall=no
"""
    sandbox.write("/etc/systemd/journald.conf", config)
    sandbox.run("ln", "-sf", "/run/systemd/journal/dev-log", "/dev/log")
    sandbox.start("/lib/systemd/systemd-journald")
    settle(sandbox)


def settle(sandbox: Sandbox) -> None:
    """Wait until everything that was sent to /dev/log before this call is in the journal."""
    mark = uuid.uuid4().hex
    wait_until(lambda: sandbox.exists("/run/systemd/journal/dev-log"), "journald")
    sandbox.run("logger", "-p", "auth.debug", "-t", "heptad-mark", mark)
    wait_until(lambda: mark in read(sandbox, "SYSLOG_IDENTIFIER=heptad-mark"), "a journal entry")


def read(sandbox: Sandbox, *matches: str) -> str:
    """Return the entries with these fields as JSON lines, as journalctl(1) prints them."""
    options = ["--directory=/run/log/journal", "--output=json", "--all", "--no-pager"]
    return sandbox.run("journalctl", *options, *matches, check=False).stdout


def entries(sandbox: Sandbox, *matches: str) -> list[dict[str, Any]]:
    """Return the journal's entries so far, without the marks of `settle`."""
    settle(sandbox)
    found = [json.loads(line) for line in read(sandbox, *matches).splitlines()]
    return [one for one in found if one.get("SYSLOG_IDENTIFIER") != "heptad-mark"]
