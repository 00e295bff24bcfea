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
    rulebook: Rulebook | None = None
    problems: list[Problem] = []

    def check_rules(config: Config) -> list[RuleFault]:
        nonlocal rulebook
        problems.extend(also(config) if also else ())
        try:
            rulebook = load_rulebook(map(Path, config.rules))
        except DocumentError as error:
            problems.extend(error.problems)
            return check_trust(config.trust, None)
        return [*check_programs(config.sources, rulebook), *check_trust(config.trust, rulebook)]

    try:
        config = load_config(path, check_rules)
    except DocumentError as error:
        raise DocumentError(error.problems + problems) from None
    if problems:
        raise DocumentError(problems)
    return ExporterSettings(
        config, trust_more(rulebook or load_rulebook(map(Path, config.rules)), config)
    )


def trust_more(rulebook: Rulebook, config: Config) -> Rulebook:
    """Add what the configuration trusts to the rules; raises DocumentError."""
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
