"""The section about the InfluxDB of the fleet.

A secret is given by ``${ENV}`` or by a file, and is in no text that this module makes.
"""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from heptad.core.config.options import Fault, Section, option
from heptad.core.config.small_file import read_file
from heptad.core.config.types import Duration, Size
from heptad.core.telemetry.masking import remember_secret

Version = Literal["auto", "1", "2", "3", 1, 2, 3]
"""YAML takes a bare 2 for a number, and means the same."""

_SECRETS: Final = ("token", "password")
_LARGEST_SECRET: Final = 64 * 1024
_FOR_EVER: Final = Duration("36500d")


def _check_bucket(name: str) -> None:
    if not name or any(ord(letter) < 32 or letter in "\"'\\/" for letter in name):
        raise ValueError("is not a bucket name; remove quotes, slashes and control characters")


class BucketsConfig(Section):
    """The names of the three buckets; of databases in 1.x and 3.x."""

    events: Annotated[
        str, option("the bucket of the events (1.x and 3.x: the database)", check=_check_bucket)
    ] = "events"
    reports: Annotated[str, option("the bucket of findings and reports", check=_check_bucket)] = (
        "reports"
    )
    heptad: Annotated[
        str, option("the bucket of heartbeats and positions", check=_check_bucket)
    ] = "heptad"

    def names(self) -> list[str]:
        """All of them."""
        return [self.events, self.reports, self.heptad]

    def faults(self) -> Iterator[Fault]:
        """A name that two of them have."""
        for one, other in permutations(self.__struct_fields__, 2):
            name = getattr(self, one)
            if name == getattr(self, other):
                text = f"`{name}` is the name of two buckets; choose different names"
                yield Fault((one,), text, ((other,),))


class RetentionConfig(Section):
    """How long InfluxDB keeps what is in each bucket."""

    events: Annotated[
        Duration,
        option(
            "how long InfluxDB stores events; older ones are counted, not sent",
            Duration("1h"),
            _FOR_EVER,
        ),
    ] = Duration("90d")
    reports: Annotated[
        Duration,
        option("how long InfluxDB stores findings and reports", Duration("1h"), _FOR_EVER),
    ] = Duration("365d")
    heptad: Annotated[
        Duration,
        option("how long InfluxDB stores heartbeats and positions", Duration("1d"), _FOR_EVER),
    ] = Duration("30d")


class InfluxTlsConfig(Section):
    """How the server is known, and how this host shows who it is."""

    ca_file: Annotated[
        str,
        option(
            "CA certificates to verify the server's certificate with; default: those of the system"
        ),
    ] = ""
    cert_file: Annotated[
        str, option("client certificate of this host, if the server requires one")
    ] = ""
    key_file: Annotated[
        str,
        option("key of the client certificate; all three files are reloaded when they change"),
    ] = ""
    insecure_skip_verify: Annotated[
        bool,
        option("true: do not verify the server's certificate; whoever answers receives the token"),
    ] = False

    def faults(self) -> Iterator[Fault]:
        """One of the two without the other."""
        if bool(self.cert_file) != bool(self.key_file):
            text = (
                "a certificate and its key require each other; set both `cert_file` and "
                "`key_file`, or neither"
            )
            yield Fault(("cert_file",), text, (("key_file",),))


class DeliveryConfig(Section):
    """When the exporter sends what it has: whichever of the three comes first."""

    flush_interval: Annotated[
        Duration,
        option(
            "the longest time that an event waits for others before it is sent",
            Duration("100ms"),
            Duration("5m"),
        ),
    ] = Duration("1s")
    max_lines: Annotated[int, option("the most events in a request", 1, 50_000)] = 5000
    max_bytes: Annotated[
        Size, option("the most bytes in a request, before compression", Size("1KiB"), Size("32MiB"))
    ] = Size("1MiB")


def check_url(text: str) -> None:
    """Raise ValueError with the remedy where it is no URL of a server, or holds a secret."""
    try:
        url = urlsplit(text)
        sound = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        sound, url = False, urlsplit("")
    if not sound or url.query or url.fragment:
        raise ValueError("is not a URL; write for example https://influxdb.example.org:8086")
    if url.username is not None:
        raise ValueError(
            "must not contain a user name or password, because URLs are logged; use "
            "`username`, and `password_file` or `token_file`"
        )


class InfluxConfig(Section):
    """An InfluxDB of any generation."""

    url: Annotated[
        str,
        option(
            "the URL of InfluxDB, for example https://influxdb.example.org:8086", check=check_url
        ),
    ]
    version: Annotated[Version, option("the major version; auto asks the server (/ping)")] = "auto"
    org: Annotated[str, option("2.x: the organization")] = ""
    token: Annotated[
        str,
        option("2.x and 3.x: the token; use ${HEPTAD_TOKEN} to read it from the environment"),
    ] = ""
    token_file: Annotated[str, option("a file with the token; read again for each connection")] = ""
    username: Annotated[str, option("1.x with authentication: the user")] = ""
    password: Annotated[
        str,
        option(
            "1.x with authentication: the password; use ${HEPTAD_PASSWORD} to read it from the "
            "environment"
        ),
    ] = ""
    password_file: Annotated[
        str, option("a file with the password; read again for each connection")
    ] = ""
    timeout: Annotated[
        Duration, option("the timeout of each request", Duration("1s"), Duration("5m"))
    ] = Duration("10s")
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

    def faults(self) -> Iterator[Fault]:
        """Secrets that are given twice, or not to whom they belong."""
        for name in _SECRETS:
            if getattr(self, name) and getattr(self, f"{name}_file"):
                text = f"`{name}` is set too; remove one of them"
                yield Fault((f"{name}_file",), text, ((name,),))
        if bool(self.username) != bool(self.password or self.password_file):
            text = (
                "`username`, and `password` or `password_file`, require each other; set both or "
                "neither"
            )
            yield Fault(("username",), text, (("password",), ("password_file",)))
        if self.username and (self.token or self.token_file):
            text = "a token is set too; use a user for 1.x, a token for 2.x and 3.x"
            yield Fault(("username",), text, (("token",), ("token_file",)))
