"""Macros of patterns, and what is known of a pattern without matching: first words, plain text."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_MACROS: Final[dict[str, str]] = {
    "address": r"(?P<address>[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%[\w.-]{1,32})?|UNKNOWN)",
    "port": r"(?P<source_port>\d{1,5})",
    "peer": (
        r"(?P<address>[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%[\w.-]{1,32})?|UNKNOWN)"
        r"(?: port (?P<source_port>\d{1,5}))?"
    ),
    # dropbear; since 2026, IPv6 addresses are in brackets
    "dropbear_peer": (
        r"\[?(?P<address>[0-9A-Fa-f:.]*[0-9A-Fa-f:](?:%[\w.-]{1,32})?)\]?:(?P<source_port>\d{1,5})"
    ),
    "preauth": r"(?: \[preauth\])?",
    "ssh_method": (
        r"(?P<method>none|password|publickey|hostbased|gssapi(?:-with-mic|-keyex)?|external-keyx"
        r"|rsa|dsa|rhosts(?:-rsa)?|kerberos|tis|unknown"
        r"|(?:keyboard-interactive|challenge-response)(?:/[\w-]{1,32})?)"
    ),
    "key": r"[\w.@-]{1,64} (?:(?P<object>[A-Za-z0-9+/=:]{8,200})|\(null\))",
    # pam_unix, _unix_verify_password: sshd sets no ruser, so the first rhost is the daemon's; with
    # other programs, a client may have chosen ruser and user, so rhost must occur only once
    "pam_peer": (
        r"logname=[^ ]* uid=-?\d+ euid=-?\d+ tty=(?:(?:NODEV)?ssh ruser= rhost="
        r"|(?:/dev/)?(?:(?P<tty>(?:pts/|tty|hvc|:)[\w.]+|console)|[^ ]*)"
        r" ruser=[^ ]*+(?>(?: (?!rhost=)[^ ]*+)*) rhost=(?!.* rhost=))(?P<address>[^ ]*)"
    ),
    # a rule that takes nothing from a line first checks that the line names no account, address or
    # attempt: such a line must match a rule of its own, or it counts as not understood
    "nobody": (
        r"(?!.*(?:user(?:name)?=|rhost="
        r"|(?:[Ii]nvalid|[Ii]llegal|[Uu]nknown|authenticating|for|by) user "
        r"|\buser [\"'`<\[]| for \S{1,64}(?: \S{1,64}){0,3} from | from \S{1,64} port \d"
        r"|(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"
        r"|(?<![\w:])(?:(?:[0-9A-Fa-f]{1,4}:){4,7}[0-9A-Fa-f]{1,4}"
        r"|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}|::[0-9A-Fa-f]{1,4})(?![\w:])))"
    ),
    # the same if a server passes the given name as the remote user: FTP, mail
    "pam_asked": (
        r"logname=[^ ]* uid=-?\d+ euid=-?\d+ tty="
        r"(?!(?:NODEV)?ssh |(?:/dev/)?(?:pts/|tty|hvc|:|console )|(?:rsh|rlogin|rexec) )"
        r"[^ ]* ruser=(?! rhost=)(?P<user>[^ ]*+(?>(?: (?!rhost=)[^ ]*+)*))"
        r" rhost=(?!.* rhost=)(?P<address>[^ ]+)"
    ),
    # sudo, new_logline: the user chooses the directory and the command, so what follows them is not
    # trusted if the name of a field occurs twice
    "sudo_user": r" *(?P<user>[^:\s][^:]{0,255}?) : ",
    "sudo_tty": r"(?:HOST=[^ ;]+ ; )?(?:TTY=(?:unknown|(?:/dev/)?(?P<tty>[^ ;]+)) ; )?",
    "sudo": (
        r"(?:(?:CHROOT|PWD)=[^ ]*+(?>(?: (?!; USER=)[^ ]*+)*) ; )?"
        r"USER=(?P<target_user>[^;]{1,256}?) ; (?:GROUP=[^;]{1,256}? ; )?(?:TSID=[^ ;]+ ; )?"
        r"(?:ENV=[^ ]*+(?>(?: (?!; (?:USER|COMMAND)=)[^ ]*+)*) ; )?"
        r"COMMAND=(?P<object>[^ ]*+(?>(?: (?!; (?:USER|COMMAND)=)[^ ]*+)*))"
    ),
}


@lru_cache(maxsize=1024)
def longest_literal(pattern: str) -> str:
    """Return the longest plain text in every match of ``pattern``; empty if none is certain."""
    runs, run, depth, place = [""], "", 0, 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        assert token is not None  # noqa: S101 - the last alternative matches any character
        place = token.end()
        plain, opening, closing = token["plain"], token["opening"], token["closing"]
        optional = pattern[place : place + 1] in ("?", "*", "{")
        if depth == 0 and plain and not optional:
            run += plain.removeprefix("\\")
        else:
            runs.append(run)
            run = ""
        if depth == 0 and token[0] == "|":
            return ""
        depth += bool(opening) - bool(closing)
    return max((*runs, run), key=len)


_TOKEN: Final = re.compile(
    r"(?P<plain>\\[^\w]|[^\\()\[\].*+?{}^$|])|(?P<opening>\()|(?P<closing>\))|"
    r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|\{[\d,]*\}|.",
    re.DOTALL,
)


def expand_macros(pattern: str, fragment: Callable[[str], str] = _MACROS.__getitem__) -> str:
    """Replace each ``%{name}`` by the macro of that name; raises KeyError if it does not exist."""
    return re.sub(r"%\{(\w+)\}", lambda found: fragment(found[1]), pattern)


_OTHER: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_POSSESSIVE_GROUP: Final = re.compile(r"\)(?:[*+?]|\{[\d,]*\})\+")


def has_possessive_group(pattern: str) -> bool:
    """Detect a possessive group, ``(…)*+``, which Python before 3.11.5 matches incorrectly.

    See gh-100061 and gh-106052 of CPython; ``(?>(…)*)`` is equivalent and correct.
    """
    return _POSSESSIVE_GROUP.search(_OTHER.sub("x", pattern)) is not None


_LITERAL_WORD: Final = re.compile(r"((?:[\w:/,;+<>'\"-]|\\[^\w\s(])+)(?= |\\\()")


def first_words(pattern: str) -> list[str]:
    """Return the first word of every message that ``pattern`` can match; empty: any word.

    A word ends at the first blank or opening bracket. It is known only if the pattern starts with
    plain text.
    """
    found = _LITERAL_WORD.match(pattern)
    return [re.sub(r"\\(.)", r"\1", found[1])] if found else []
