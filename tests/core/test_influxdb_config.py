"""The section `influxdb` of the configuration: what makes no sense is told with its place."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from heptad.core.config import strict_yaml
from heptad.core.config.influxdb import InfluxConfig, InfluxTlsConfig
from heptad.core.config.options import check_sections
from heptad.core.config.schema import load_config
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.tls import make_ssl_context

SECRET = "t0p-secret"


def faults(**keys: object) -> list[tuple[str, str]]:
    """The place and text of each fault of a section with these keys."""
    text = yaml.dump({"url": "https://db:8086", **keys})
    try:
        strict_yaml.parse(text, "f", InfluxConfig, check=check_sections)
    except DocumentError as error:
        return [tuple(problem.message.split(": ", 1)) for problem in error.problems]  # type: ignore[misc]
    return []


@pytest.mark.parametrize("written", ["2", "'2'"])
def test_a_version_needs_no_quotes(tmp_path: Path, written: str) -> None:
    """The version is a number to YAML where it is written as one, and means the same."""
    path = tmp_path / "heptad.yaml"
    path.write_text(f"influxdb: {{url: 'https://db:8086', org: o, version: {written}}}\n")
    config = load_config(path).influxdb
    assert config is not None
    connection = InfluxConnection(config)
    assert connection.generation == 2
    connection.close()


def test_a_sound_section() -> None:
    """The least there can be, and one of each generation, have no fault."""
    assert faults() == []
    assert faults(url="http://[::1]:8086/influx", username="u", password=SECRET) == []
    assert faults(org="o", token_file="/run/token", tls={"ca_file": "/ca"}) == []


@pytest.mark.parametrize(
    ("keys", "place", "text"),
    [
        ({"url": "db:8086"}, "url", "not a URL"),
        ({"url": "ftp://db"}, "url", "not a URL"),
        ({"url": "http://"}, "url", "not a URL"),
        ({"url": "http://db:99999"}, "url", "not a URL"),
        ({"url": "http://db/?token=x"}, "url", "not a URL"),
        ({"url": f"http://me:{SECRET}@db"}, "url", "must not contain a user name"),
        ({"token": SECRET, "token_file": "/t"}, "token_file", "set too"),
        ({"username": "u"}, "username", "password"),
        ({"password": SECRET}, "username", "password"),
        ({"username": "u", "password": "p", "token": "t"}, "username", "token"),
        ({"buckets": {"events": ""}}, "buckets.events", "is not a bucket name"),
        ({"buckets": {"events": 'a"b'}}, "buckets.events", "is not a bucket name"),
        ({"buckets": {"events": "x", "heptad": "x"}}, "buckets.events", "two buckets"),
        ({"tls": {"cert_file": "/c"}}, "tls.cert_file", "require each other"),
        ({"timeout": "0s"}, "timeout", "between"),
        ({"retention": {"heptad": "1h"}}, "retention.heptad", "between"),
        ({"retention": {"events": "for ever"}}, "retention.events", "not a duration"),
        ({"delivery": {"max_lines": 0}}, "delivery.max_lines", "between"),
        ({"delivery": {"max_bytes": "1GiB"}}, "delivery.max_bytes", "between"),
    ],
)
def test_faults(keys: dict[str, object], place: str, text: str) -> None:
    """Each fault is told at its key, with what helps, and without a secret."""
    found = faults(**keys)
    assert [fault for fault in found if fault[0] == place and text in fault[1]]
    assert SECRET not in str(found)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Nothing that prints a section prints a secret; a secret's file is read anew each time."""
    config = InfluxConfig("http://db", token=SECRET)
    assert SECRET not in repr(config)
    assert SECRET not in f"{config}"
    path = tmp_path / "token"
    path.write_text("one\n")
    config = InfluxConfig("http://db", token_file=str(path))
    assert config.secret("token") == "one"
    path.write_text("two")
    assert config.secret("token") == "two"


@pytest.mark.parametrize("key", ["token_file", "tls"])
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero"])
def test_a_secret_or_certificate_that_has_no_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, kind: str
) -> None:
    """A pipe without a writer, or a device, is named as what cannot be read, and holds up nobody."""
    monkeypatch.setattr("heptad.core.config.small_file.PATIENCE", 0.0)
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / kind)
    secret = InfluxConfig("https://db", token_file=path)
    read: dict[str, Callable[[], object]] = {
        "token_file": lambda: secret.secret("token"),
        "tls": lambda: make_ssl_context(InfluxTlsConfig(ca_file=path)),
    }
    with pytest.raises(OSError, match=f"(not a regular file|larger than).*{path}"):
        read[key]()
