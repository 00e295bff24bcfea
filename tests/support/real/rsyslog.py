"""A real rsyslogd that owns /dev/log in a sandbox."""

import uuid
from enum import StrEnum

from tests.support.real.sandbox import Sandbox, wait_until

MARK = "heptad-mark"


class Template(StrEnum):
    """The formats that rsyslog predefines (rsyslog.conf(5), "Reserved template names")."""

    RFC3164 = "RSYSLOG_TraditionalFileFormat"
    RFC3339 = "RSYSLOG_FileFormat"
    RFC5424 = "RSYSLOG_SyslogProtocol23Format"


def start(
    sandbox: Sandbox,
    template: Template = Template.RFC3339,
    *,
    reduce_repeated: bool = False,
    input: str = 'module(load="imuxsock" SysSock.Name="/dev/log")',
) -> None:
    """Start rsyslogd: auth and authpriv go to auth.log, everything to syslog.

    `reduce_repeated` is Ubuntu's "message repeated N times"; `input` may load imjournal instead.
    """
    config = f"""
        global(workDirectory="/run")
        $RepeatedMsgReduction {"on" if reduce_repeated else "off"}
        {input}
        auth,authpriv.* action(type="omfile" file="/var/log/auth.log" template="{template}")
        *.* action(type="omfile" file="/var/log/syslog" template="{template}")
    """
    sandbox.write("/etc/rsyslog.conf", config)
    sandbox.start("rsyslogd", "-n", "-f", "/etc/rsyslog.conf", "-i", "/run/rsyslogd.pid")
    settle(sandbox)


def settle(sandbox: Sandbox) -> None:
    """Wait until everything that was sent to syslog before this call is in auth.log.

    One socket preserves the order, so it waits for a line that is sent now.
    """
    mark = uuid.uuid4().hex
    log = sandbox.log / "syslog"

    def is_there() -> bool:  # sent repeatedly, since a starting daemon may miss the first
        sandbox.run("logger", "-p", "auth.debug", "-t", MARK, mark, check=False)
        return log.exists() and mark.encode() in log.read_bytes()

    wait_until(lambda: sandbox.exists("/dev/log"), "/dev/log")
    wait_until(is_there, "a line in the log")


def lines(sandbox: Sandbox) -> list[str]:
    """Return the lines in auth.log so far, without the marks of `settle`."""
    settle(sandbox)
    text = sandbox.auth_log.read_text(encoding="utf-8", errors="surrogateescape")
    return [line for line in text.split("\n") if line and MARK not in line]
