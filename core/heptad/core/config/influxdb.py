"""Where the fleet's InfluxDB is: the keys, their defaults, and what makes no sense.

A secret is given by ``${ENV}`` or by a file, and is in no text that this module makes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from heptad.core import units
from heptad.core.config.small_file import read_file
from heptad.core.telemetry.masking import remember_secret

Version = Literal["auto", "1", "2", "3", 1, 2, 3]
"""YAML takes a bare 2 for a number, and means the same."""

_SECRETS: Final = ("token", "password")
_LARGEST_SECRET: Final = 64 * 1024
_DAY: Final = 86_400


class BucketsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The names of the three buckets; of databases in 1.x and 3.x."""

    events: str = "events"
    reports: str = "reports"
    heptad: str = "heptad"

    def names(self) -> list[str]:
        """All of them."""
        return [self.events, self.reports, self.heptad]


class RetentionConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How long InfluxDB keeps what is in each bucket."""

    events: str = "90d"
    reports: str = "365d"
    heptad: str = "30d"


class InfluxTlsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How the server is known, and how this host shows who it is."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure_skip_verify: bool = False


class DeliveryConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When the exporter sends what it has: whichever of the three comes first."""

    flush_interval: str = "1s"
    max_lines: int = 5000
    max_bytes: units.Size = "1MiB"


class InfluxConfig(msgspec.Struct, forbid_unknown_fields=True):
    """An InfluxDB of any generation."""

    url: str
    version: Version = "auto"
    org: str = ""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    password_file: str = ""
    timeout: str = "10s"
    buckets: BucketsConfig = msgspec.field(default_factory=BucketsConfig)
    retention: RetentionConfig = msgspec.field(default_factory=RetentionConfig)
    tls: InfluxTlsConfig = msgspec.field(default_factory=InfluxTlsConfig)
    delivery: DeliveryConfig = msgspec.field(default_factory=DeliveryConfig)

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"InfluxConfig(url={self.url!r})"

    def secret(self, name: Literal["token", "password"]) -> str:
        """The secret, read anew from its file where one is named; OSError where it cannot be."""
        path = getattr(self, f"{name}_file")
        secret = str(getattr(self, name))
        if path:
            content = read_file(Path(path), _LARGEST_SECRET)
            secret = content.decode("utf-8", "replace").strip()
        remember_secret(secret, self.username)
        return secret


KEYS: Final[dict[str, str]] = {
    "url": "the URL of InfluxDB, for example https://influxdb.example.org:8086",
    "version": "1, 2 or 3; auto asks the server (/ping)",
    "org": "2.x: the organization",
    "token": "2.x and 3.x: the token; use ${HEPTAD_TOKEN} to read it from the environment",
    "token_file": "a file with the token; read again for each connection",
    "username": "1.x with authentication: the user",
    "password": (
        "1.x with authentication: the password; use ${HEPTAD_PASSWORD} to read it from the "
        "environment"
    ),
    "password_file": "a file with the password; read again for each connection",
    "timeout": "the timeout of each request",
    "buckets.events": "the bucket of the events (1.x and 3.x: the database)",
    "buckets.reports": "the bucket of findings and reports",
    "buckets.heptad": "the bucket of heartbeats and positions",
    "retention.events": "how long InfluxDB stores events; older ones are counted, not sent",
    "retention.reports": "how long InfluxDB stores findings and reports",
    "retention.heptad": "how long InfluxDB stores heartbeats and positions",
    "tls.ca_file": (
        "CA certificates to verify the server's certificate with; default: those of the system"
    ),
    "tls.cert_file": "client certificate of this host, if the server requires one",
    "tls.key_file": "key of the client certificate; all three files are reloaded when they change",
    "tls.insecure_skip_verify": (
        "true: do not verify the server's certificate; whoever answers receives the token"
    ),
    "delivery.flush_interval": "the longest time that an event waits for others before it is sent",
    "delivery.max_lines": "the most events in a request",
    "delivery.max_bytes": "the most bytes in a request, before compression",
}


def check_influxdb(config: InfluxConfig) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What the types do not say: each fault with its place."""
    yield from _check_url(config)
    yield from _check_secrets(config)
    yield from _check_units(config)
    names = config.buckets.names()
    for place in ("events", "reports", "heptad"):
        name = getattr(config.buckets, place)
        if not name or any(ord(letter) < 32 or letter in "\"'\\/" for letter in name):
            yield (
                ("buckets", place),
                "is not a bucket name; remove quotes, slashes and control characters",
            )
        elif names.count(name) > 1:
            yield ("buckets", place), f"`{name}` is the name of two buckets; choose different names"
    if bool(config.tls.cert_file) != bool(config.tls.key_file):
        yield (
            ("tls", "cert_file"),
            (
                "a certificate and its key require each other; set both `cert_file` and "
                "`key_file`, or neither"
            ),
        )
    if not 1 <= config.delivery.max_lines <= 50_000:
        yield ("delivery", "max_lines"), "must be between 1 and 50000"


def _check_url(config: InfluxConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    try:
        url = urlsplit(config.url)
        sound = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        sound, url = False, urlsplit("")
    if not sound or url.query or url.fragment:
        yield ("url",), "is not a URL; write for example https://influxdb.example.org:8086"
    elif url.username is not None:
        yield (
            ("url",),
            (
                "must not contain a user name or password, because URLs are logged; use "
                "`username`, and `password_file` or `token_file`"
            ),
        )


def _check_secrets(config: InfluxConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in _SECRETS:
        if getattr(config, name) and getattr(config, f"{name}_file"):
            yield (f"{name}_file",), f"`{name}` is set too; remove one of them"
    if bool(config.username) != bool(config.password or config.password_file):
        yield (
            ("username",),
            (
                "`username`, and `password` or `password_file`, require each other; set both or "
                "neither"
            ),
        )
    if config.username and (config.token or config.token_file):
        yield ("username",), "a token is set too; use a user for 1.x, a token for 2.x and 3.x"


def _check_units(config: InfluxConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    durations = {
        ("timeout",): (config.timeout, 1, 300),
        ("delivery", "flush_interval"): (config.delivery.flush_interval, 0.1, 300),
        ("retention", "events"): (config.retention.events, 3600, 36_500 * _DAY),
        ("retention", "reports"): (config.retention.reports, 3600, 36_500 * _DAY),
        ("retention", "heptad"): (config.retention.heptad, _DAY, 36_500 * _DAY),
    }
    for place, (text, least, most) in durations.items():
        try:
            if not least <= units.parse_duration(text) <= most:
                yield place, f"must be between {least:g} s and {most:g} s"
        except ValueError as error:
            yield place, str(error)
    try:
        if not 2**10 <= units.parse_size(config.delivery.max_bytes) <= 2**25:
            yield ("delivery", "max_bytes"), "must be between 1KiB and 32MiB"
    except ValueError as error:
        yield ("delivery", "max_bytes"), str(error)
