"""Generate the reference pages in docs/: ``python -m docs.generate.reference``.

A test fails if a page differs from the code.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from docs.generate.configuration import configuration_page
from docs.generate.markdown import WRITTEN, table
from docs.generate.schema_page import schema_page
from heptad.aggregator.detection.finding import SEVERITIES
from heptad.aggregator.detection.rules import DetectionRule as FindingRule
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.metrics import COUNTERS as AGGREGATOR_COUNTERS
from heptad.aggregator.metrics import GAUGES as AGGREGATOR_GAUGES
from heptad.aggregator.reports import REPORTS, WINDOWS, Report
from heptad.aggregator.reports.counting import LONGEST, MOST_KEYS
from heptad.core import event
from heptad.core.config.findings import FindingsConfig
from heptad.core.config.schema import AggregatorConfig
from heptad.core.store.measurements import TYPES
from heptad.core.telemetry.metrics import REJECTIONS, RELOADS
from heptad.exporter.collectors import FAMILIES, UNSUPPORTED
from heptad.exporter.metrics import COUNTERS, GAUGES
from heptad.exporter.normalize.line_result import RESULTS
from heptad.exporter.parsing.rule_file import (
    BUILT_IN,
    STEPS,
    ParsingRule,
    RuleFile,
    compile_pattern,
    load_rule_files,
)


def events_page() -> str:
    """Return docs/events.md: the event, its vocabulary, and all parsing rules."""
    files = sorted(load_rule_files([BUILT_IN]), key=lambda file: file.program)
    fields = table(
        ("field", "question", "ECS", "meaning"),
        ((f"`{n}`", f.question, f.ecs, f.description) for n, f in event.FIELDS.items()),
    )
    words = "".join(
        f"\n### {title}\n\n"
        + table(("word", "meaning"), ((f"`{w or '(empty)'}`", m) for w, m in known.items()))
        for title, known in (
            ("Actions", event.ACTIONS),
            ("Outcomes", event.OUTCOMES),
            ("Methods", event.METHODS),
            ("Reasons", event.REASONS),
            ("Trust", event.TRUSTS),
        )
    )
    steps = table(("step", "meaning"), ((f"`{n}`", m) for n, m in STEPS.items()))
    results = table(("result", "meaning"), ((f"`{n}`", m) for n, m in RESULTS.items()))
    return (
        f"# Events\n\n{WRITTEN}\nAn event is something that happened on a host. Its fields "
        "answer seven questions: who, what, when, where, to where, on what and from where. "
        "Tags and labels come from the closed vocabulary below; everything that an attacker "
        "can choose is a field. `heptad rules list` lists the rules, and `heptad parse FILE` "
        f"prints the events of a log file.\n\n## Fields\n\n{fields}\n## Vocabulary\n{words}\n"
        "## Results of parsing\n\n`heptad_lines_total{result=…}` counts lines by result.\n\n"
        f"{results}\n## Rules\n\nA *step* is a rule's part in counting login attempts; see "
        f"[guarantees](guarantees.md#count-answers-not-key-offers).\n\n{steps}\n"
        + "".join(map(_program_section, files))
    )


_SHARED: Final = (
    "These rules apply to every program. If a program has no rules of its own, the event's "
    "program is `pam`, and the name is in `raw`. In the journal, only lines of processes with "
    "root's rights are accepted. In a file, the origin of the line is not verified: any "
    "process that may write to syslog can write such a line under any name, and `trust` is "
    "`file`."
)


def _program_section(file: RuleFile) -> str:
    about = []
    if file.shared:
        about.append(_SHARED)
    if file.aliases:
        about.append("Also logs as " + ", ".join(f"`{alias}`" for alias in file.aliases) + ".")
    if not file.complete:
        about.append("Only some of its lines are relevant; the others are skipped.")
    rows = table(
        ("rule", "action", "outcome", "method", "reason", "step", "fields"),
        map(_rule_row, file.rules),
    )
    return f"\n### {file.program}\n\n{' '.join(about)}\n\n{rows}".replace("\n\n\n", "\n\n")


def _rule_row(rule: ParsingRule) -> tuple[str, ...]:
    if rule.ignore:
        return (rule.name, "(ignored)", "", "", "", "", "")
    groups = compile_pattern(rule.pattern).groupindex
    names = {"address": "source_ip/source_domain", "child_pid": "(pid of the connection)"}
    fields = [f"`{names.get(g, g)}`" for g in groups if g != "method"]
    if rule.object is not None:
        fields.append(f"`object`={rule.object}")
    method = "(captured)" if "method" in groups else rule.method
    return (
        rule.name,
        rule.action,
        rule.outcome,
        method,
        rule.reason,
        rule.step or "",
        ", ".join(fields),
    )


def metrics_page() -> str:
    """Return docs/metrics.md: all metrics of exporter and aggregator."""
    exporter = _metric_table({**COUNTERS, **GAUGES})
    aggregator = _metric_table({**AGGREGATOR_COUNTERS, **AGGREGATOR_GAUGES})
    host = table(
        ("name", "type", "labels", "help"),
        ((f"`{f.name}`", f.type, ", ".join(f.labels), f.help) for f in FAMILIES),
    )
    unsupported = table(
        ("family", "why"), ((f"`{name}`", why) for name, why in UNSUPPORTED.items())
    )
    return (
        f"# Metrics\n\n{WRITTEN}\nThe exporter and the aggregator also expose `python_info` "
        "and `process_*` of prometheus_client.\n\n## Exporter and aggregator\n\n"
        f"{_metric_table({**RELOADS, **REJECTIONS})}\n## The exporter\n\n{exporter}\n## The "
        f"aggregator\n\n{aggregator}\n## The host\n\nNames, labels, units and meaning are "
        "those of node_exporter. Turn them off with `exporter.host_metrics: false`.\n\n"
        f"{host}\n### Not supported\n\nnode_exporter exposes these by default, Heptad does "
        f"not.\n\n{unsupported}\n### promtool\n\n`promtool check metrics` reports some names "
        "that are the same in node_exporter, and no others: each `node_memory_…_bytes` that is "
        "spelled as in `/proc/meminfo` (`node_memory_MemTotal_bytes`), and names such as "
        "`node_memory_Active_anon_bytes`.\n"
    )


def _metric_table(metrics: dict[str, tuple[tuple[str, ...], str]]) -> str:
    return table(
        ("name", "type", "labels", "help"),
        (
            (
                f"`{name}`",
                "counter" if name.endswith("_total") else "gauge",
                ", ".join(labels),
                text,
            )
            for name, (labels, text) in metrics.items()
        ),
    )


def reports_page() -> str:
    """Return docs/reports.md: all reports with their tags and fields."""
    sizes = ", ".join(f"`{size}`" for size in WINDOWS)
    return (
        f"# Reports\n\n{WRITTEN}\n`heptad report` reports what happened, what is unusual, and "
        "what to check first, as text, as JSON, or as one HTML file (`--format html`). It "
        "reads the events themselves. The reports below are computed by the aggregator for "
        "graphs. The chart of login attempts on the page reads `report_attempts`, and the "
        "dashboards Now and Logins read `report_top`; the others are for [queries of your "
        "own](dashboards.md#how-reports-and-findings-are-read). No command prints their rows."
        "\n\nA report is a pure function of the events of one window. Every report has "
        f"the windows {sizes}, aligned to UTC, in the tag `window`; the time of a row is the "
        "start of the window plus the revision in nanoseconds.\n\nA window is computed after "
        "its end: when every live exporter has delivered it, at the latest after "
        f"`aggregator.max_wait` ({AggregatorConfig().max_wait} by default). So there is no row "
        "for the current day, and the time of yesterday's row is up to two days ago. When late "
        "events change a window, all its rows are written again as the next revision; use the "
        "last revision. Every row has the fields `events` (number of events of the window that "
        "the report used) and `revision`.\n\nText from a log is a field, never a tag. It is cut to "
        f"{LONGEST} characters; the last ones are `…` and a digest, so that different values "
        "are counted separately. Counts do not depend on the order of the events. With more "
        f"than {MOST_KEYS} different values in a window, counts are kept in a temporary file "
        "(in `SQLITE_TMPDIR` or `/var/tmp`), so that memory is bounded and every number is "
        "exact.\n" + "".join(map(_report_section, REPORTS))
    )


def _report_section(report: Report) -> str:
    rows = [(f"`{name}`", "tag", description) for name, description in report.tags.items()]
    rows += [(f"`{name}`", TYPES[f.type], f.description) for name, f in report.fields.items()]
    of = ", ".join(f"`{action}`" for action in sorted(report.actions)) or "all"
    return f"\n## {report.name}\n\n{report.about}\n\nUses the actions: {of}.\n\n" + table(
        ("name", "kind", "meaning"), rows
    )


_BEGIN: Final = "<!-- What follows is written by `make docs` from the code; change it there. -->\n"
_END: Final = "<!-- Here ends what `make docs` writes. -->\n"
_FINDINGS: Final = Path(__file__).parents[1] / "findings.md"


def findings_page() -> str:
    """Return docs/findings.md; only its part about the rules is generated."""
    page = _FINDINGS.read_text(encoding="utf-8")
    above, below = page.partition(_BEGIN)[0], page.partition(_END)[2]
    rules = rules_of(FindingsConfig())
    overview = table(
        ("rule", "title", "ATT&CK"),
        ((f"`{rule.name}`", rule.title, rule.technique) for rule in rules),
    )
    severities = table(("severity", "meaning"), ((f"`{n}`", m) for n, m in SEVERITIES.items()))
    sections = "".join(map(_finding_section, rules))
    return f"{above}{_BEGIN}\n{severities}\n{overview}{sections}\n{_END}{below}"


def _finding_section(rule: FindingRule) -> str:
    section = getattr(FindingsConfig(), rule.name, None)
    keys = section.__struct_fields__ if section is not None else ()
    thresholds = ", ".join(f"`{key}` {getattr(section, key)}" for key in keys)
    told = f"Defaults: {thresholds}.\n\n" if thresholds else ""
    return (
        f"\n### {rule.title} (`{rule.name}`)\n\n{rule.description}\n\n{told}**False "
        f"positives:** {rule.false_positives}\n"
    )


PAGES: Final = {
    "events.md": events_page,
    "metrics.md": metrics_page,
    "configuration.md": configuration_page,
    "findings.md": findings_page,
    "reports.md": reports_page,
    "influxdb-schema.md": schema_page,
}


def main() -> int:
    """Write the pages to the directory given as argument."""
    parser = argparse.ArgumentParser(description="Write the reference pages from the code.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs"))
    folder = parser.parse_args().folder
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
