"""Recognize lines without a header: other output formats, and logs that Heptad does not read."""

import re
from typing import Final

_ADVICE: Final = "use --output=short-iso-precise"
_SHAPES: Final = (
    (r'\{.*"(?:__CURSOR|MESSAGE|_BOOT_ID)"', f"`journalctl --output=json`; {_ADVICE}"),
    (r"__(?:CURSOR|REALTIME_TIMESTAMP)=", f"`journalctl --output=export`; {_ADVICE}"),
    (r"data: \{|\x1e\{", f"`journalctl --output=json-sse` or json-seq; {_ADVICE}"),
    (r"\S+ \d{4}-\d\d-\d\d \S+ \S+ \[s=", f"`journalctl --output=verbose`; {_ADVICE}"),
    (
        r"\[ *\d+\.\d+(?: <[^>]*>)?\] \S+ \S+?(?:\[\d+\])?: ",
        f"`journalctl --output=short-monotonic` or short-delta, without a time of day; {_ADVICE}",
    ),
    (r"\[ *\d+\.\d+\] ", "kernel messages in the format of dmesg, which have no time of day"),
    (r"(?:node=\S+ )?type=[A-Z_0-9]+ msg=audit\(", "the log of auditd, which Heptad does not read"),
    (r"\S+ \S+ \S+ \[\d\d/[A-Z][a-z]{2}/\d{4}:", "the access log of a web server"),
    (
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:\d{4} )?: \S+ : ",
        "the log file that sudo writes itself (`Defaults logfile`); let sudo log to syslog",
    ),
    (r"\[pod/\S+\] ", "`kubectl logs --prefix`; run it without --prefix"),
    (r"[\w.-]+ +\| ", "`docker compose logs`; use --no-log-prefix"),
    (r'\{"log":"', "a container log file of Docker (json-file); use `docker logs`"),
    (r"\{\s*$", f"`journalctl --output=json-pretty` or other JSON; {_ADVICE}"),
    (r"\{", "JSON"),
    (
        r"(?:Accepted|Failed|Invalid user|Connection|pam_\w+\(|[\w-]+ : TTY=)",
        f"messages without timestamps, as `journalctl --output=cat` prints them; {_ADVICE}",
    ),
)


def describe_foreign(line: str) -> str | None:
    """Return what wrote such a line, and what to do; None if unknown."""
    line = line[:2000]
    return next((said for shape, said in _SHAPES if re.match(shape, line)), None)
