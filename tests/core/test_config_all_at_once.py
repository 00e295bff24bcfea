"""Every fault of a configuration is reported in one round, and nothing that follows from it alone."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.config import strict_yaml
from heptad.core.config.schema import Config, check, expand_environment
from heptad.core.config.strict_yaml import DocumentError

Path = tuple[str | int, ...]

SOUND: Final = yaml.safe_load("""\
host: gate
log: {level: debug, format: json}
store: {path: /srv/events.db, max_age: 30d, max_size: 100MiB}
sources:
- {type: journald, name: journal, directory: /j, passwd: /p, hosts: [a, b], programs: [sshd]}
- {type: file, name: auth, paths: [/var/log/auth.log, /var/log/secure], timezone: Europe/Berlin,
   locale: fr_FR, hosts: [], programs: [su], max_line_bytes: 4096, olddir: /o, follow_links: true}
- {type: file, name: mail, paths: [/var/log/mail.log], programs: [dovecot, exim]}
rules: [/etc/heptad/rules]
trust:
- {program: sshd, exe: [/opt/sshd], runs_as: [root]}
- {program: sudo, exe: [/opt/sudo], runs_as: []}
privacy: {unknown_users: drop, commands: program, addresses: keep}
influxdb:
  url: https://influxdb.example.org:8086
  version: 2
  org: example
  token: secret
  timeout: 5s
  buckets: {events: a, reports: b, heptad: c}
  retention: {events: 90d, reports: 90d, heptad: 90d}
  tls: {ca_file: /a, cert_file: /b, key_file: /c, insecure_skip_verify: false}
  delivery: {flush_interval: 1s, max_lines: 10, max_bytes: 64KiB}
exporter: {listen: '[::1]:9000', web_config_file: '', host_metrics: false, host_root: /host}
aggregator:
  listen: 127.0.0.1:9708
  page: false
  store: {path: /srv/reports.db, max_age: 30d, max_size: 100MiB}
  poll: 5s
  max_wait: 2m
  late_horizon: 7d
  findings:
    ignore: {networks: [192.0.2.0/24, 198.51.100.7], users: [a], hosts: [b]}
    baseline: {look_back: 28d, settle: 7d, events: 5}
    brute_force: {attempts: 10, span: 1h}
    slow_brute_force: {hours: 4, span: 4h}
    success_after_failures: {failures: 5, span: 1h}
    spraying: {users: 10, span: 1h}
    new_network: {ipv4_prefix: 24, ipv6_prefix: 64, most: 10}
    unusual_hour: {hours: 20, probability: 0.05}
    session: {longest: 3d}
""")
WRONG: Final[dict[str, Any]] = {
    "host": "a b",
    "log.level": "loud",
    "log.format": "xml",
    "store.max_age": "30",
    "store.max_size": "1KiB",
    "sources.0.name": "A B",
    "sources.0.passwd": "p",
    "sources.0.type": "journal",
    "sources.1.name": "é",
    "sources.1.type": "files",
    "sources.1.paths": [],
    "sources.1.paths.1": "secure",
    "sources.1.timezone": "Mars",
    "sources.1.locale": "xx",
    "sources.1.max_line_bytes": "2MiB",
    "sources.2.type": "syslog",
    "privacy.unknown_users": "maybe",
    "influxdb.url": "ftp://x",
    "influxdb.version": 4,
    "influxdb.timeout": "1h",
    "influxdb.buckets.events": "a/b",
    "influxdb.retention.heptad": "1h",
    "influxdb.delivery.flush_interval": "0s",
    "influxdb.delivery.max_lines": 0,
    "influxdb.delivery.max_bytes": "1GiB",
    "exporter.listen": "9707",
    "exporter.host_root": "host",
    "aggregator.listen": "x",
    "aggregator.poll": "0s",
    "aggregator.store.max_size": "1",
    "aggregator.findings.ignore.networks.0": "192.0.2.1/24",
    "aggregator.findings.baseline.events": 0,
    "aggregator.findings.brute_force.attempts": 1,
    "aggregator.findings.brute_force.span": "7h",
    "aggregator.findings.slow_brute_force.hours": 13,
    "aggregator.findings.new_network.ipv4_prefix": 33,
    "aggregator.findings.unusual_hour.probability": 1.0,
    "aggregator.findings.session.longest": "soon",
}
TOGETHER: Final[dict[str, tuple[Any, str]]] = {
    # the value, and what else the fault follows from
    "sources.2.name": ("auth", "sources.1.name"),
    "sources.2.programs": (["su"], "sources.1.programs"),
    "aggregator.store.path": ("/srv/events.db", "store.path"),
    "influxdb.token_file": ("/t", "influxdb.token"),
    "influxdb.tls.cert_file": ("", "influxdb.tls.key_file"),
    "influxdb.buckets.reports": ("c", "influxdb.buckets.heptad"),
    "aggregator.listen": ("[::1]:9000", "exporter.listen"),
    "aggregator.late_horizon": ("31d", "store.max_age"),
    "aggregator.findings.baseline.look_back": ("31d", "store.max_age"),
    "aggregator.findings.baseline.settle": ("28d", "aggregator.findings.baseline.look_back"),
    "aggregator.findings.slow_brute_force.hours": (5, "aggregator.findings.slow_brute_force.span"),
}
ALSO_AT: Final = {
    "sources.2.programs": "sources.2",
    "influxdb.buckets.reports": "influxdb.buckets.heptad",
}
"""Where such a fault is reported instead, or beside it."""
REQUIRED: Final = ("sources.1.paths", "sources.0.name", "sources.1.name", "trust.1.program")
REQUIRED_TYPE: Final = ("sources.0.type", "sources.1.type", "influxdb.url")


class Fault(NamedTuple):
    """A way to spoil the document: what is changed, and where that is reported."""

    target: Path
    change: Callable[[Any, Any], None]
    reported: tuple[Path, ...]
    reads: tuple[Path, ...] = ()
    is_added: bool = False


def path_of(key: str) -> Path:
    """The steps of a key."""
    return tuple(int(step) if step.isdigit() else step for step in key.split("."))


def setting(target: Path, value: Any, *also: Path, reads: tuple[Path, ...] = ()) -> Fault:
    """A fault that is another value."""

    def change(parent: Any, last: Any) -> None:
        parent[last] = deepcopy(value)

    return Fault(target, change, also or (target,), reads)


def removing(target: Path) -> Fault:
    """A fault that is a missing key, reported at its section."""

    def change(parent: Any, last: Any) -> None:
        del parent[last]

    return Fault(target, change, (target[:-1],))


def adding(target: Path) -> Fault:
    """A fault that is an unknown key."""
    return setting((*target, "colour"), "red")._replace(is_added=True)


def parts(data: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    """Everything in the document, with its path."""
    found = [(path, data)]
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            found += parts(value, (*path, key))
    return found


FAULTS: Final = [
    *(setting(path_of(key), value) for key, value in WRONG.items()),
    *(
        setting(
            path_of(key),
            value,
            *([path_of(ALSO_AT[key])] if "programs" in key else []),
            *([path_of(key), path_of(ALSO_AT[key])] if "buckets" in key else []),
            reads=(path_of(read),),
        )
        for key, (value, read) in TOGETHER.items()
    ),
    *(removing(path_of(key)) for key in (*REQUIRED, *REQUIRED_TYPE)),
    *(adding(path) for path, value in parts(SOUND) if isinstance(value, dict)),
    *(
        setting(path, 5 if isinstance(value, dict | list) else ["x"])
        for path, value in parts(SOUND)
        if path
    ),
    *(
        setting(path, "${NOPE}")
        for path, value in parts(SOUND)
        if not isinstance(value, dict | list)
    ),
]


def within(inner: Path, outer: Path) -> bool:
    """Whether a path is the other one, or lies in it."""
    return inner[: len(outer)] == outer


def can_be_together(one: Fault, other: Fault) -> bool:
    """Whether neither hides or changes what the other is about."""
    if within(one.target, other.target) or within(other.target, one.target):
        return False
    for fault, spoiled in ((one, other), (other, one)):
        for path in (*fault.reads, *fault.reported):
            about = within(path, spoiled.target) or (
                path in fault.reads and within(spoiled.target, path)
            )
            if about and not spoiled.is_added:
                return False
    return True


def choose(faults: list[Fault]) -> list[Fault]:
    """Those that can be in one document."""
    chosen: list[Fault] = []
    for fault in faults:
        if all(can_be_together(fault, other) for other in chosen):
            chosen.append(fault)
    return chosen


def place_of(root: yaml.Node, path: Path) -> str:
    """Line and column of a value."""
    node = root
    for step in path:
        if isinstance(step, int):
            node = node.value[step]
        else:
            node = next(value for key, value in node.value if key.value == step)
    return f"{node.start_mark.line + 1}:{node.start_mark.column + 1}"


@given(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=15).map(choose))
def test_any_faults_are_reported_at_once(faults: list[Fault]) -> None:
    """Each fault is reported at its place, whatever else is wrong, and nothing else is."""
    data = deepcopy(SOUND)
    for fault in faults:
        *steps, last = fault.target
        parent = data
        for step in steps:
            parent = parent[step]
        fault.change(parent, last)
    text = yaml.safe_dump(data, sort_keys=False)
    root = yaml.compose(text)
    assert root is not None
    with pytest.raises(DocumentError) as caught:
        strict_yaml.parse(text, "f", Config, expand_environment, check)
    wanted = {place_of(root, path): path for fault in faults for path in fault.reported}
    found = {problem.place: problem.message for problem in caught.value.problems}
    assert found.keys() == wanted.keys(), (text, wanted, found)


def test_the_document_is_sound() -> None:
    """What the faults are put into has none."""
    strict_yaml.parse(yaml.safe_dump(SOUND), "f", Config, None, check)


def test_the_second_of_a_key_is_checked_too() -> None:
    """A section that appears twice is reported as that, and so are the faults in both of them."""
    text = """\
exporter:
  listen: x
exporter:
  listen: 127.0.0.1:9707
  host_root: host
  colour: red
influxdb:
  url: x
  tls: {colour: red}
influxdb:
  tls: {ca_file: [x]}
  url: {}
"""
    with pytest.raises(DocumentError) as caught:
        strict_yaml.parse(text, "f", Config, expand_environment, check)
    places = [problem.place for problem in caught.value.problems]
    assert places == ["2:11", "3:1", "5:14", "6:11", "8:8", "9:17", "10:1", "11:18"]


def test_a_report_that_is_cut_says_so() -> None:
    """Of very many faults the first ones are reported, and that there may be more."""
    text = "".join(f"key{number}: 1\n" for number in range(100, 180))
    with pytest.raises(DocumentError) as caught:
        strict_yaml.parse(text, "f", Config, expand_environment, check)
    *faults, last = caught.value.problems
    assert [problem.place for problem in faults] == [f"{number}:9" for number in range(1, 51)]
    assert last.place == "50:9"
    assert "only 50 errors are listed" in last.message
