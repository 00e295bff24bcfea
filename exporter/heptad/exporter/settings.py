"""Load and validate a configuration together with its rules."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from heptad.core.config.schema import Config, SourceConfig, TrustConfig, load_config
from heptad.core.config.strict_yaml import DocumentError, Problem
from heptad.exporter.parsing.binaries import check_paths
from heptad.exporter.parsing.rule_file import RuleFault
from heptad.exporter.parsing.rulebook import Rulebook, load_rulebook

_ACCOUNT: Final = re.compile(r"[^\s:/,]{1,256}")


class ExporterSettings(msgspec.Struct):
    """A configuration and its rules."""

    config: Config
    rulebook: Rulebook


def load_settings(
    path: Path | None, also: Callable[[Config], Iterable[Problem]] | None = None
) -> ExporterSettings:
    """Load the configuration in ``path``, or the defaults, and its rules.

    ``also`` checks other files. Raises DocumentError with all problems of all files.
    """
    check = _RuleCheck(also)
    try:
        config = load_config(path, check)
    except DocumentError as error:
        raise DocumentError(error.problems + check.problems) from None
    if check.problems:
        raise DocumentError(check.problems)
    return ExporterSettings(config, make_rulebook(config, check.rulebook))


class _RuleCheck:
    """Checks a configuration against its rules; keeps them, and the problems of other files."""

    def __init__(self, also: Callable[[Config], Iterable[Problem]] | None) -> None:
        self._also = also
        self.rulebook: Rulebook | None = None
        self.problems: list[Problem] = []

    def __call__(self, config: Config) -> list[RuleFault]:
        self.problems.extend(self._also(config) if self._also else ())
        try:
            self.rulebook = load_rulebook(map(Path, config.rules))
        except DocumentError as error:
            self.problems.extend(error.problems)
            return check_trust(config.trust, None)
        programs = check_programs(config.sources, self.rulebook)
        return programs + check_trust(config.trust, self.rulebook)


def make_rulebook(config: Config, rulebook: Rulebook | None = None) -> Rulebook:
    """Load the rules of a configuration, and add what it trusts; raise DocumentError.

    ``rulebook``: the rules, if they are already loaded.
    """
    rulebook = rulebook or load_rulebook(map(Path, config.rules))
    faults = check_trust(config.trust, rulebook)
    if faults:
        raise DocumentError([Problem("trust", "0:0", fault) for _, fault in faults])
    for more in config.trust:
        rulebook.programs[more.program].trust(more.exe, more.runs_as)
    return rulebook


def check_trust(trust: Sequence[TrustConfig], rulebook: Rulebook | None) -> list[RuleFault]:
    """Return the faults of ``trust``; without rules, any program is accepted."""
    faults: list[RuleFault] = []
    for number, more in enumerate(trust):
        place = ("trust", number)
        if rulebook is not None and more.program not in rulebook.programs:
            known = ", ".join(rulebook.names())
            text = f"there are no rules for `{more.program}`; valid programs: {known}"
            faults.append(((*place, "program"), text))
        faults += [((*place, "exe", index), fault) for index, fault in check_paths(more.exe)]
        faults += [
            ((*place, "runs_as", index), f"`{account}` is not an account name")
            for index, account in enumerate(more.runs_as)
            if not _ACCOUNT.fullmatch(account)
        ]
    return faults


def check_programs(sources: Sequence[SourceConfig], rulebook: Rulebook) -> list[RuleFault]:
    """Return the programs of sources without rules, because such a source would read nothing."""
    known = rulebook.names()
    return [
        (
            ("sources", number, "programs", place),
            f"there are no rules for `{name}`; valid programs: {', '.join(known)}",
        )
        for number, source in enumerate(sources)
        for place, name in enumerate(source.programs)
        if name not in known
    ]
