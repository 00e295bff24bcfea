"""The web configuration file: TLS and basic auth of a port, in Prometheus' format.

The keys have the same meaning as for Prometheus and its exporters (exporter-toolkit,
docs/web-configuration.md). A key that Heptad does not support is an error, and never ignored.
"""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from heptad.core.config import strict_yaml
from heptad.core.config.options import Fault
from heptad.core.config.small_file import read_file

_HASH: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_DEAREST: Final = 16
"""A bcrypt run of cost 16 takes seconds; each increment doubles it."""
_LARGEST_PEM: Final = 4 * 2**20
_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class ServerError(Exception):
    """The port cannot be opened; the message says why and what to do."""


class ServerTlsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The certificate of the port, and the client certificates that it requires."""

    cert_file: str
    key_file: str
    client_auth_type: Literal[
        "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
    ] = "NoClientCert"
    client_ca_file: str = ""
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"


class WebConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file; ``basic_auth_users`` maps names to bcrypt hashes."""

    tls_server_config: ServerTlsConfig | None = None
    basic_auth_users: dict[str, str] = {}

    @property
    def protects(self) -> bool:
        """Whether TLS or basic auth is configured."""
        return self.tls_server_config is not None or bool(self.basic_auth_users)


def load_web_config(path: Path) -> WebConfig:
    """Load the file and make its paths absolute; raise DocumentError with all errors.

    As with Prometheus, a relative path is relative to the directory of the file.
    """

    def check(config: WebConfig) -> Iterator[Fault]:
        if config.tls_server_config is not None:
            _make_absolute(config.tls_server_config, path.absolute().parent)
            for fault in _check_tls(config.tls_server_config):
                yield fault.within("tls_server_config")
        for user, hashed in config.basic_auth_users.items():
            if message := _check_user(user, hashed):
                yield Fault(("basic_auth_users", user), message)

    return strict_yaml.load(path, WebConfig, check=check)


def make_context(config: ServerTlsConfig) -> ssl.SSLContext:
    """Create the TLS context; raise OSError if a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.maximum_version = _VERSIONS[config.max_version]
    # without this function OpenSSL prompts on the terminal for the password of a key
    context.load_cert_chain(config.cert_file, config.key_file, password=lambda: b"")
    if config.client_ca_file:
        context.load_verify_locations(config.client_ca_file)
    context.verify_mode = _CLIENTS[config.client_auth_type]
    return context


def _make_absolute(config: ServerTlsConfig, folder: Path) -> None:
    config.cert_file = str(folder / config.cert_file)
    config.key_file = str(folder / config.key_file)
    if config.client_ca_file:
        config.client_ca_file = str(folder / config.client_ca_file)


def _check_tls(config: ServerTlsConfig) -> Iterator[Fault]:
    if config.min_version > config.max_version:
        text = f"is higher than max_version ({config.max_version})"
        yield Fault(("min_version",), text, (("max_version",),))
    asks = config.client_auth_type != "NoClientCert"
    if asks and not config.client_ca_file:
        text = "requires client_ca_file to verify client certificates"
        yield Fault(("client_auth_type",), text, (("client_ca_file",),))
    if config.client_ca_file and not asks:
        text = (
            "has no effect without client_auth_type; set client_auth_type to "
            "RequireAndVerifyClientCert"
        )
        yield Fault(("client_ca_file",), text, (("client_auth_type",),))
    unreadable = False
    for key in ("cert_file", "key_file", "client_ca_file"):
        name = getattr(config, key)
        try:
            if name:
                read_file(Path(name), _LARGEST_PEM)
        except OSError as error:
            unreadable = True
            yield Fault((key,), f"{name} cannot be read: {error.strerror}")
    if unreadable:
        return
    try:
        make_context(config)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        text = (
            f"the files cannot be used ({reason}); they must be PEM files, and the key must "
            "belong to the certificate "
        )
        yield Fault(("cert_file",), text + "and have no password")


def _check_user(user: str, hashed: str) -> str:
    """Return the error, or an empty text; it never contains the hash."""
    if not user or ":" in user:
        return "is not a user name; it must not be empty or contain a colon (RFC 7617)"
    found = _HASH.fullmatch(hashed)
    if found is None:
        return "is not a bcrypt hash; `htpasswd -nBC 10 NAME` prints one"
    if not 4 <= int(found[1]) <= _DEAREST:
        return f"has the bcrypt cost {found[1]}; it must be between 4 and {_DEAREST}, 10 is usual"
    return ""
