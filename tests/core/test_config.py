"""The configuration file: what it may say, and how every mistake in it is told."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from docs.generate.configuration import find_options
from heptad.core.config import strict_yaml
from heptad.core.config.schema import (
    Config,
    FileSourceConfig,
    JournaldSourceConfig,
    check,
    expand_environment,
    load_config,
    state_folder,
)
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.config.types import Duration, Listen

SOUND = """\
host: gate
log: {level: debug, format: json}
store: {path: /srv/events.db, max_age: 7d, max_size: 100MiB}
sources:
- {type: journald, name: journal, programs: [sshd, sudo]}
- type: file
  name: auth
  paths: [/var/log/auth.log*]
  timezone: Europe/Berlin
  programs: [su]
  max_line_bytes: 4096
rules: [/etc/heptad/rules]
influxdb: {url: "https://influxdb.example.org:8086", org: example, token: t0p-secret}
exporter: {listen: "[::1]:9000", host_metrics: false}
aggregator:
  poll: 5s
  findings: {brute_force: {attempts: 10, span: 1h}}
"""


def write(folder: Path, text: str) -> Path:
    """A configuration file with ``text``."""
    path = folder / "heptad.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(text: str) -> list[tuple[str, str]]:
    """The place and message of each problem of a configuration."""
    with pytest.raises(DocumentError) as caught:
        strict_yaml.parse(text, "f", Config, expand_environment, check)
    return [(problem.place, problem.message) for problem in caught.value.problems]


def test_a_sound_file(tmp_path: Path) -> None:
    """Every kind of setting is read."""
    config = load_config(write(tmp_path, SOUND))
    assert (config.host, config.store.max_age, config.log.format) == (
        "gate",
        Duration("7d"),
        "json",
    )
    journal, auth = config.sources
    assert isinstance(journal, JournaldSourceConfig)
    assert isinstance(auth, FileSourceConfig)
    assert auth.paths == ["/var/log/auth.log*"]
    assert config.aggregator.findings.brute_force.attempts == 10


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file, and with an empty one, there is a whole configuration."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/state:/elsewhere")
    for path in (None, write(tmp_path, "# nothing yet\n")):
        config = load_config(path)
        assert config.host == socket.gethostname()
        assert config.store.path == f"{tmp_path}/state/events.db"
        assert config.aggregator.store.path == f"{tmp_path}/state/reports.db"
        assert config.exporter.listen.startswith("127.0.0.1:")
        assert config.aggregator.listen.startswith("127.0.0.1:")
        assert list(check(config)) == []


def test_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is where systemd says, else /var/lib for root, else where XDG says."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert state_folder() == Path("/var/lib/heptad")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ann/state")
    assert state_folder() == Path("/home/ann/state/heptad")


def test_every_error_at_once(tmp_path: Path) -> None:
    """A file with many mistakes is told all of them, each with file, line, column and remedy."""
    path = write(
        tmp_path,
        "hots: gate\n"
        "log: {level: loud}\n"
        "store:\n"
        "  max_age: 30\n"
        "  max_size: 1XB\n"
        "sources:\n"
        "- {type: files, name: a, paths: [/a]}\n"
        "- {type: file, name: B C, paths: [], programs: [su]}\n"
        "- {type: file, name: d, paths: [a.log], timezone: Mars, max_line_bytes: 1, locale: xx}\n"
        "exporter: {listen: 9707}\n"
        "exporter: {}\n"
        "aggregator: {poll: 0s, listen: here, findings: {brute_force: {attempts: 1}}}\n",
    )
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    told = str(caught.value)
    for place, words in {
        "1:7": "hots: unknown key; valid keys: aggregator, exporter, host,",
        "2:14": "log.level: Invalid enum value 'loud'; valid values: debug, error, info, warning",
        "4:12": "store.max_age: `30` is not a duration; write it with its unit, for example",
        "5:13": "store.max_size: `1XB` is not a size; write for example 64KiB",
        "7:10": "sources.0.type: Invalid value 'files'; valid values: file, journald",
        "8:22": "sources.1.name: is not a source name",
        "8:34": "sources.1.paths: requires at least one path",
        "9:33": "sources.2.paths.0: `a.log` is not an absolute path",
        "9:51": "sources.2.timezone: `Mars` is not a time zone; write for example",
        "9:73": "sources.2.max_line_bytes: must be between 256B and 1MiB",
        "9:84": "sources.2.locale: `xx` is not a known locale; write for example fr_FR",
        "10:20": "exporter.listen: `9707` is not an address; write HOST:PORT",
        "11:1": "the key `exporter` appears twice",
        "12:20": "aggregator.poll: must be at least 1ms",
        "12:32": "aggregator.listen: `here` is not an address; write HOST:PORT, for example 127.0.0.1:9707",
        "12:73": "aggregator.findings.brute_force.attempts: must be between 2 and 1000000",
    }.items():
        assert f"{path}:{place}: {words}" in told, told


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``${NAME}`` is replaced, ``${NAME:-x}`` has a default, ``$$`` is a dollar."""
    monkeypatch.setenv("GIVEN", "a: [b, ${NESTED}]")
    monkeypatch.delenv("NESTED", raising=False)
    monkeypatch.setenv("EMPTY", "")
    for text, expanded in {
        "x${GIVEN}y": "xa: [b, ${NESTED}]y",
        "${GIVEN:-d}": "a: [b, ${NESTED}]",
        "${NESTED:-d}": "d",
        "${NESTED:-}": "",
        "${EMPTY:-d}": "d",
        "$$": "$",
        "$${GIVEN}": "${GIVEN}",
        "$$$$": "$$",
        "$GIVEN": "$GIVEN",
        "${1}": "${1}",
    }.items():
        assert expand_environment(text) == expanded


def test_the_environment_cannot_add_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable's value is text, whatever YAML it would be."""
    monkeypatch.setenv("HOST", "x\nstore: {path: /evil}")
    config = strict_yaml.parse("rules:\n- ${HOST}\n", "f", Config, expand_environment, check)
    assert config.rules == ["x\nstore: {path: /evil}"]
    assert config.store.path == ""


def test_unset_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each unset variable is told with its place and the remedy; a comment may name any."""
    monkeypatch.delenv("NOPE", raising=False)
    found = faults("host: ${NOPE}  # ${NOPE}\nrules:\n- /a\n- /${NOPE}\n")
    remedy = "the environment variable NOPE is not set; set it, or write ${NOPE:-default}"
    assert found == [("1:7", remedy), ("4:3", remedy)]


@pytest.mark.parametrize(
    "one, other, shared",
    [
        ("", "", "every program"),
        ("programs: [sshd]", "", "sshd"),
        ("", "programs: [sshd]", "sshd"),
        ("programs: [su, sshd, sudo]", "programs: [sudo, login, su]", "su, sudo"),
    ],
)
def test_the_same_program_read_twice(one: str, other: str, shared: str) -> None:
    """Two sources that would count a line twice are refused, with what they share."""
    text = (
        "sources:\n"
        f"- {{type: journald, name: journal{one and ', ' + one}}}\n"
        f"- {{type: file, name: auth, paths: [/a]{other and ', ' + other}}}\n"
    )
    [(place, message)] = faults(text)
    assert place == "3:3"
    assert f"`journal` and `auth` both read {shared}, so" in message


def test_names_are_given_once() -> None:
    """Two sources of one name would share their state and their metrics."""
    text = "sources:\n" + "- {type: journald, name: a, programs: [%s]}\n" * 2
    [(place, message)] = faults(text % ("su", "sudo"))
    assert (place, message) == (
        "3:26",
        "sources.1.name: two sources have the name `a`; rename one of them",
    )


def test_two_stores_are_two_files() -> None:
    """Events and findings cannot share a file: each has one writer."""
    [(place, message)] = faults("store: {path: /x}\naggregator: {store: {path: /x}}\n")
    assert (place, message.partition(":")[0]) == ("2:28", "aggregator.store.path")


@pytest.mark.parametrize(
    "path, fault", [("/var/log/a.log", True), ("/var/log/x/a.log", False), ("/var/log/a.db", False)]
)
def test_a_store_is_no_log(path: str, fault: bool) -> None:
    """A store that is one of the logs is refused: the log would be set aside as a corrupt store."""
    text = (
        f"colour: x\nstore: {{path: {path}}}\n"
        "sources: [{type: file, name: a, paths: ['/var/log/*.log']}]\n"
    )
    assert [place for place, _ in faults(text)] == ["1:9", *["2:15"] * fault]


def test_listen() -> None:
    """An address and a port, IPv6 in brackets; without an address it is all addresses."""
    for text, address in {
        "127.0.0.1:9707": ("127.0.0.1", 9707),
        "[::1]:0": ("::1", 0),
        "localhost:65535": ("localhost", 65535),
        ":9707": ("", 9707),
        "[::]:9707": ("::", 9707),
    }.items():
        assert Listen(text).address == address
    for wrong in ("", "9707", "a:", "a:b", "a:-1", "a:65536", "a:\u0663", "a:" + "9" * 9999):
        with pytest.raises(ValueError, match="is not an address"):
            Listen(wrong)


@pytest.mark.parametrize(
    ("exporter", "aggregator", "fault"),
    [
        (":9707", "127.0.0.1:9707", True),
        ("[::]:9707", "0.0.0.0:9707", True),
        ("127.0.0.1:9707", "0.0.0.0:9707", True),
        ("127.0.0.1:9707", "127.0.0.1:9707", True),
        ("127.0.0.1:9707", "127.0.0.2:9707", False),
        ("[::1]:9707", "0.0.0.0:9707", False),
        (":9707", ":9708", False),
        (":0", ":0", False),
    ],
)
def test_ports_that_cannot_both_be_opened(exporter: str, aggregator: str, fault: bool) -> None:
    """Both parts may listen on one port only where their addresses differ."""
    text = (
        f"colour: x\nexporter: {{listen: '{exporter}'}}\n"
        f"aggregator: {{page: false, listen: '{aggregator}'}}\n"
    )
    assert [place for place, _ in faults(text)] == ["1:9", *["3:35"] * fault]


def test_every_option_is_explained() -> None:
    """Each option of a configuration is in the documentation, with its type and a sentence."""
    options = {option.key: option for option in find_options()}
    assert all(option.values and option.meaning for option in options.values())
    assert options["store.max_size"][1:3] == ("size at least 1MiB", "`1GiB`")
    span = options["aggregator.findings.brute_force.span"]
    assert span[1:3] == ("duration between 1s and 6h", "`10m`")
    assert options["sources[].max_line_bytes"].meaning.startswith("file: ")
    data = yaml.safe_load(SOUND)
    for path in leaves(data):
        assert path in options, path


def leaves(data: object, path: str = "") -> Iterator[str]:
    """The keys of a document, as the documentation writes them."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        for item in data:
            yield from leaves(item, f"{path}[]")
    else:
        yield path


LINES = st.sampled_from(
    [
        *SOUND.splitlines(),
        *("${X", "$", "  ", "- ", "store:", "  max_size: 9e999GiB", "sources: [a]"),
        *(f"store: {{max_size: {'9' * 400}GiB}}", f"store: {{max_age: {'9' * 400}d}}"),
        "- {type: file, name: x, paths: [/a], timezone: ../../etc/passwd}",
        "- {type: file, name: x, paths: [/a], timezone: Europe}",
        *("- {type: file}", 'exporter: {listen: "\\0:1"}'),
    ]
)


@given(st.one_of(st.text(), st.lists(LINES, max_size=25).map("\n".join)))
def test_arbitrary_files(text: str) -> None:
    """Whatever the file holds, nothing but DocumentError comes of it."""
    with suppress(DocumentError):
        strict_yaml.parse(text, "f", Config, expand_environment, check)


ZONES = st.sampled_from(
    ["../../etc/passwd", "/etc/passwd", "Europe", "", "\0", "x" * 300, "+24:00", "posixrules"]
)


@given(
    st.one_of(st.text(), st.from_regex(r"\d{1,400}(\.\d+)?([smhdw]|[KMGT]iB|B)")),
    st.text(),
    st.one_of(st.text(), ZONES),
)
def test_arbitrary_values(unit: str, listen: str, zone: str) -> None:
    """Whatever the values are, each is read or refused with its place and a message."""
    data = {
        "store": {"max_age": unit, "max_size": unit},
        "exporter": {"listen": listen},
        "sources": [{"type": "file", "name": zone, "paths": [listen], "timezone": zone}],
    }
    with suppress(DocumentError):
        strict_yaml.parse(yaml.dump(data), "f", Config, None, check)


def test_an_unquoted_variable_may_be_a_number_or_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`${NAME}` gives a truth value or a number where it stands unquoted, else text."""
    monkeypatch.setenv("HOST_METRICS", "false")
    monkeypatch.setenv("ATTEMPTS", "9")
    path = tmp_path / "heptad.yaml"
    path.write_text(
        "host: '${ATTEMPTS}'\n"
        "exporter:\n  host_metrics: ${HOST_METRICS}\n"
        "aggregator:\n  findings:\n    brute_force:\n      attempts: ${ATTEMPTS}\n"
    )
    config = load_config(path)
    assert config.host == "9"
    assert config.exporter.host_metrics is False
    assert config.aggregator.findings.brute_force.attempts == 9


def test_a_variable_that_is_not_closed() -> None:
    """An opening `${` without its end is told as that, not as a bad value."""
    with pytest.raises(LookupError, match="not closed"):
        expand_environment("a${HOME")


def test_wrong_types_name_the_remedy(tmp_path: Path) -> None:
    """A number where a duration belongs, and a key that is missing, are told with what to do."""
    path = tmp_path / "heptad.yaml"
    path.write_text("store: {max_age: 30}\nsources:\n  - {type: file, name: auth}\n")
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    told = "\n".join(map(str, caught.value.problems))
    assert "with its unit" in told
    assert "the key `paths` is missing" in told


@pytest.mark.parametrize(
    "findings, key, words",
    [
        ("brute_force: {attempts: 1}", "brute_force.attempts", "must be between 2 and"),
        ("brute_force: {span: 7h}", "brute_force.span", "must be between 1s and 6h"),
        ("brute_force: {span: soon}", "brute_force.span", "`soon` is not a duration"),
        ("spraying: {users: 51}", "spraying.users", "between 2 and 50"),
        (
            "slow_brute_force: {hours: 5, span: 4h}",
            "slow_brute_force.hours",
            "more than the number of hours",
        ),
        (
            "baseline: {look_back: 31d}",
            "baseline.look_back",
            "must not be longer than store.max_age",
        ),
        (
            "baseline: {look_back: 8d, settle: 8d}",
            "baseline.settle",
            "must be at least a day shorter",
        ),
        ("new_network: {ipv4_prefix: 33}", "new_network.ipv4_prefix", "between 1 and 32"),
        ("unusual_hour: {probability: 1.0}", "unusual_hour.probability", "between 0 and 1"),
        ("session: {longest: 8d}", "session.longest", "between 1h and 7d"),
        ("ignore: {networks: [192.0.2.1/24]}", "ignore.networks.0", "has host bits set"),
        ("ignore: {networks: [evil]}", "ignore.networks.0", "write for example 198.51.100.0/24"),
    ],
)
def test_thresholds_that_make_no_sense(findings: str, key: str, words: str) -> None:
    """Each is refused with its place and the reason."""
    [(_, message)] = faults(f"aggregator: {{findings: {{{findings}}}}}\n")
    assert message.startswith(f"aggregator.findings.{key}: ")
    assert words in message


def test_short_store_shortens_the_look_back(tmp_path: Path) -> None:
    """Without a look-back of one's own it is what the store keeps; a longer one is refused."""
    config = load_config(write(tmp_path, "store: {max_age: 8d}\n"))
    baseline = config.aggregator.findings.baseline
    assert (baseline.look_back, baseline.settle) == (Duration("691200s"), Duration("172800s"))
    [(_, message)] = faults(
        "store: {max_age: 8d}\naggregator: {findings: {baseline: {look_back: 9d}}}\n"
    )
    assert "must not be longer than store.max_age" in message


@pytest.mark.parametrize("size", ["1.5MiB", "1572864B", "1572864", "1536 KiB", "1.572864MB"])
def test_a_size_is_written_either_way(size: str) -> None:
    """Each size is a number of bytes, or a number with its unit, as the docs say."""
    text = f"""\
store: {{max_size: {size}}}
influxdb: {{url: "http://127.0.0.1:8086", delivery: {{max_bytes: {size}}}}}
aggregator: {{store: {{max_size: {size}}}}}
"""
    config = strict_yaml.parse(text, "f", Config, expand_environment, check)
    assert config.influxdb is not None
    sizes = (config.store.max_size, config.aggregator.store.max_size)
    for each in (*sizes, config.influxdb.delivery.max_bytes):
        assert each == 1_572_864


@pytest.mark.parametrize("size", ["256KiB", "262144"])
def test_the_longest_line_is_a_size(size: str) -> None:
    """`max_line_bytes` takes a size, too."""
    source = f"{{type: file, name: a, paths: [/a.log], max_line_bytes: {size}}}"
    config = strict_yaml.parse(f"sources: [{source}]\n", "f", Config, expand_environment, check)
    (found,) = config.sources
    assert isinstance(found, FileSourceConfig)
    assert found.max_line_bytes == 2**18
    told = faults("sources: [" + source.replace(size, "2MiB") + "]\n")
    assert [text for _, text in told] == ["sources.0.max_line_bytes: must be between 256B and 1MiB"]


@pytest.mark.parametrize("name", ["a\\b", "we\tird", "two words"])
def test_names_that_a_tag_cannot_hold(tmp_path: Path, name: str) -> None:
    """A host name that is accepted from lines becomes a tag, so it must be one that a tag holds."""
    file = tmp_path / "heptad.yaml"
    source = {"type": "file", "name": "a", "paths": ["/a"], "hosts": ["web-1", "2001:db8::1", name]}
    file.write_text(yaml.safe_dump({"sources": [source]}))
    with pytest.raises(DocumentError) as caught:
        load_config(file)
    [problem] = caught.value.problems
    assert problem.message.startswith("sources.0.hosts.2: is not a host name")
