"""The section `influxdb`: the InfluxDB of the fleet.

Secrets come from ``${ENV}`` or a file, and never appear in a text that this module creates.
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
"""YAML parses an unquoted 2 as a number; both spellings are valid."""

_SECRETS: Final = ("token", "password")
_LARGEST_SECRET: Final = 64 * 1024
_FOR_EVER: Final = Duration("36500d")


def _check_bucket(name: str) -> None:
    if not name or any(ord(letter) < 32 or letter in "\"'\\/" for letter in name):
        raise ValueError("is not a bucket name; remove quotes, slashes and control characters")


class BucketsConfig(Section):
    """The names of the three buckets; in 1.x and 3.x, of the databases."""

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
        return [self.events, self.reports, self.heptad]

    def faults(self) -> Iterator[Fault]:
        """Report a name that is used twice."""
        for one, other in permutations(self.__struct_fields__, 2):
            name = getattr(self, one)
            if name == getattr(self, other):
                text = f"`{name}` is the name of two buckets; choose different names"
                yield Fault((one,), text, ((other,),))


class RetentionConfig(Section):
    """How long InfluxDB keeps the points of each bucket."""

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
    """How the server is verified, and the client certificate of this host."""

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
        """Report a certificate without a key, or a key without a certificate."""
        if bool(self.cert_file) != bool(self.key_file):
            text = (
                "a certificate and its key require each other; set both `cert_file` and "
                "`key_file`, or neither"
            )
            yield Fault(("cert_file",), text, (("key_file",),))


class DeliveryConfig(Section):
    """When the exporter sends its events: as soon as one of the three limits is reached."""

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
    """Raise ValueError with the remedy if the text is not a server's URL, or contains a secret."""
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
    """The connection to an InfluxDB of any version."""

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
        """Leave out the secrets."""
        return f"InfluxConfig(url={self.url!r})"

    def secret(self, name: Literal["token", "password"]) -> str:
        """Return the secret, read again if it comes from a file; raise OSError if that fails."""
        path = getattr(self, f"{name}_file")
        secret = str(getattr(self, name))
        if path:
            content = read_file(Path(path), _LARGEST_SECRET)
            secret = content.decode("utf-8", "replace").strip()
        remember_secret(secret, self.username)
        return secret

    def faults(self) -> Iterator[Fault]:
        """Report secrets that are set twice, and a user name or password without the other."""
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
