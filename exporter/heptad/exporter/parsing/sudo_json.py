"""sudo's log in JSON (``Defaults log_format=json``), read as the same event as its text line.

sudo writes ``@cee:{"sudo":{"accept":{…}}}``, see lib/eventlog/eventlog.c. The rule for the
equivalent text line determines the event; the values are taken from the JSON, where they are
unambiguous.
"""

import re
from typing import Final

import msgspec

PREFIX: Final = "@cee:"
_LONGEST: Final = 256
_NOT_RUN: Final = frozenset(("list", "validate"))
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_OR_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_QUOTED: Final = re.compile(r"['\\]")


class _Entry(msgspec.Struct):
    submituser: str
    command: str | None = None
    runuser: str | None = None
    ttyname: str | None = None
    runargv: list[str] = []
    reason: str = ""


class _Log(msgspec.Struct):
    accept: _Entry | None = None
    reject: _Entry | None = None
    alert: _Entry | None = None


class _Message(msgspec.Struct):
    sudo: _Log


_DECODER: Final = msgspec.json.Decoder(_Message)


def read_json(message: str) -> tuple[str, dict[str, str | None]] | None:
    """Return an equivalent text line, and the values that replace those of the line.

    None if the message is not complete JSON of sudo.
    """
    try:
        log = _DECODER.decode(message.removeprefix(PREFIX).strip()).sudo
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    entry = log.accept or log.reject or log.alert
    if entry is None or (entry.reason == "") is not (entry is log.accept):
        return None
    names = (entry.submituser, entry.runuser or "", entry.ttyname or "")
    if not entry.submituser or max(map(len, names)) > _LONGEST:
        return None
    command = entry.command if entry.command in _NOT_RUN else "/x"
    reason = f"{entry.reason} ; " if entry.reason else ""
    return f"x : {reason}TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={command}", {
        "user": entry.submituser,
        "target_user": entry.runuser,
        "tty": entry.ttyname and entry.ttyname.removeprefix("/dev/"),
        "object": None if entry.command is None else _write_command(entry),
    }


def _write_command(entry: _Entry) -> str:
    """Return the command line as new_logline() writes it."""
    words = [_CONTROL_OR_BLANK.sub(_escape, entry.command or "")]
    for word in entry.runargv[1:]:
        quoted = _QUOTED.sub(r"\\\g<0>", word)
        if " " in word:
            words.append(f"'{_CONTROL.sub(_escape, quoted)}'")
        else:
            words.append(_CONTROL_OR_BLANK.sub(_escape, quoted))
    return " ".join(words)


def _escape(found: re.Match[str]) -> str:
    return f"#{ord(found[0]):03o}"
