"""A configuration and the rules it names, read and checked together."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from exporter.parsers.engine import Rulebook, load_rulebook
from exporter.parsers.rule_file import Fault
from heptad.config import Config, SourceConfig, load_config
from heptad.document import DocumentError, Problem


class Settings(msgspec.Struct):
    """What an exporter goes by."""

    config: Config
    rulebook: Rulebook


def load_settings(path: Path | None) -> Settings:
    """The configuration in ``path``, or the defaults, and its rules.

    Raises DocumentError with everything that is wrong with either.
    """
    rulebook: Rulebook | None = None
    problems: list[Problem] = []

    def check_rules(config: Config) -> list[Fault]:
        nonlocal rulebook
        try:
            rulebook = load_rulebook(map(Path, config.rules))
        except DocumentError as error:
            problems.extend(error.problems)
            return []
        return check_programs(config.sources, rulebook)

    try:
        config = load_config(path, check_rules)
    except DocumentError as error:
        raise DocumentError(error.problems + problems) from None
    if problems:
        raise DocumentError(problems)
    return Settings(config, rulebook or load_rulebook(map(Path, config.rules)))


def check_programs(sources: Sequence[SourceConfig], rulebook: Rulebook) -> list[Fault]:
    """The programs that sources name and no rule speaks of: such a source would read nothing."""
    known = sorted({program.name for program in rulebook.programs.values()})
    return [
        (
            ("sources", number, "programs", place),
            f"no rules for `{name}`; known: {', '.join(known)}",
        )
        for number, source in enumerate(sources)
        for place, name in enumerate(source.programs)
        if name not in known
    ]
