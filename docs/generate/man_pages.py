"""Generate the man pages from the parser: ``python -m docs.generate.man_pages DIR``.

heptad(1) is about all commands; each command has its own page, which includes its subcommands. The
date on the pages is `SOURCE_DATE_EPOCH` or the current one.
"""

# ruff: noqa: SLF001 - argparse has no public API to inspect a parser

import argparse
import datetime
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heptad.cli.main import make_parser
from heptad.core import __version__

_FILES: Final = """\
.SH FILES
.TP
.I /etc/heptad/heptad.yaml
The configuration of the services, and of every command without
.BR \\-\\-config .
.TP
.I ~/.config/heptad/heptad.yaml
The configuration of a user, if that one does not exist.
.TP
.I /var/lib/heptad
The events and reports of this host.
.SH ENVIRONMENT
.TP
.B HEPTAD_CONFIG
The configuration, instead of these files; empty: none.
"""
_COMMON: Final = frozenset({"exit status"})
"""Sections of heptad(1) that apply to every command."""


def write_pages(folder: Path) -> None:
    """Write all pages to a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    parser = make_parser()
    commands = dict(_subparsers(parser))
    summaries = _summaries(parser)
    sections = dict(_sections(parser.epilog or ""))
    common = {title: text for title, text in sections.items() if title in _COMMON}
    pages = {"heptad": _page(parser, "logins and privilege changes of hosts", list(commands))}
    pages |= {
        f"heptad-{name}": _page(command, summaries[name], [], common)
        for name, command in commands.items()
    }
    for name, page in pages.items():
        (folder / f"{name}.1").write_text(page, encoding="utf-8")


def _page(
    parser: argparse.ArgumentParser,
    summary: str,
    see: list[str],
    common: dict[str, str] | None = None,
) -> str:
    name = parser.prog.replace(" ", "-")
    parts = [
        f'.TH {name.upper()} 1 "{_date()}" "Heptad {__version__}" "User commands"\n.nh\n.ad l\n',
        f".SH NAME\n{_escape(name)} \\- {_escape(summary)}\n",
        f".SH SYNOPSIS\n{_synopsis(parser)}",
        f".SH DESCRIPTION\n{_paragraph(parser.description or '')}",
        *_arguments(parser, ".SH"),
    ]
    for verb, subparser in _subparsers(parser):
        if not see:
            parts.append(f".SH VERB: {_escape(verb.upper())}\n{_synopsis(subparser)}")
            parts.append(f".PP\n{_paragraph(subparser.description or '')}")
            parts += _arguments(subparser, ".SS")
            parts += _epilog(dict(_sections(subparser.epilog or "")), ".SS")
    parts += _epilog({**dict(_sections(parser.epilog or "")), **(common or {})}, ".SH")
    others = ",\n".join(rf".BR heptad\-{_escape(name)} (1)" for name in see)
    parts.append(f"{_FILES}.SH SEE ALSO\n{others or '.BR heptad (1)'}\n")
    return "".join(parts)


def _synopsis(parser: argparse.ArgumentParser) -> str:
    usage = re.sub(r"\s+", " ", parser.format_usage()).removeprefix("usage: ").strip()
    program, rest = usage[: len(parser.prog)], usage[len(parser.prog) :]
    return f".B {_escape(program)}\n{_escape(rest.strip())}\n"


def _arguments(parser: argparse.ArgumentParser, heading: str) -> Iterator[str]:
    """Yield options, arguments and commands, in the groups of --help."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if not actions:
            continue
        yield f"{heading} {_escape((group.title or '').upper())}\n"
        if group.description:
            yield _paragraph(group.description)
        for action in actions:
            yield from _argument(parser, action)


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield f".TP\n.B {_escape(choice.dest)}\n{_paragraph(_help(parser, choice))}"
        return
    invocation = parser._get_formatter()._format_action_invocation(action)
    yield f".TP\n.B {_escape(invocation)}\n{_paragraph(_help(parser, action))}"


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return parser._get_formatter()._expand_help(action) if action.help else ""


def _epilog(sections: dict[str, str], heading: str) -> Iterator[str]:
    for title, text in sections.items():
        yield f"{heading} {_escape(title.upper())}\n"
        if "\n" in text or text.startswith(" "):
            lines = "\n".join(_escape(line.removeprefix("  ")) for line in text.splitlines())
            yield f".nf\n{lines}\n.fi\n"
        else:
            yield _paragraph(text)


def _sections(epilog: str) -> Iterator[tuple[str, str]]:
    """Yield the sections of an epilog: `title: text`, or a title above indented lines."""
    for block in epilog.strip().split("\n\n"):
        title, _, text = block.partition(":")
        if title:
            yield title.strip(), text.strip("\n") if text.startswith("\n") else text.strip()


def _subparsers(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _summaries(parser: argparse.ArgumentParser) -> dict[str, str]:
    return {
        choice.dest: choice.help or ""
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action._choices_actions
    }


def _paragraph(text: str) -> str:
    return f"{_escape(' '.join(text.split()))}\n" if text else ""


def _escape(text: str) -> str:
    """Escape text for roff, so that every character is shown as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    text = text.replace("'", r"\(aq").replace("`", r"\(ga").replace("…", r"\&...")
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in text.split("\n"))


def _date() -> str:
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
