"""TLS to the server: certificate verification, client certificates, and remedies for failures.

The cause of a failure is known only from OpenSSL's text: that of X509_verify_cert_error_string
(3ssl) and of the alerts of RFC 8446, section 6.2.
"""

import re
import ssl
from pathlib import Path
from typing import Final

from heptad.core.config.influxdb import InfluxTlsConfig
from heptad.core.config.small_file import read_file

_LARGEST_PEM: Final = 4 * 2**20
_OWN: Final = (
    "the server rejects the client certificate of this host: check "
    "`influxdb.tls.cert_file` and `key_file`"
)
_ENDED: Final = (
    "the server closed the connection: check its log; it may require another client "
    "certificate (`influxdb.tls.cert_file` and `key_file`), or may not support TLS 1.2 or later"
)
_RENEW: Final = "renew the server's certificate, and check that the clocks are correct"
_NAME: Final = (
    "use a host name in `influxdb.url` that is in the server's certificate, or add this name "
    "to the certificate"
)
_PLAIN: Final = "the server does not use TLS: check the port in `influxdb.url`, or write http://"
_SIGNER: Final = (
    "set `influxdb.tls.ca_file` to the certificate of the CA that signed the server's certificate"
)
_REMEDIES: Final = (
    ("alert.*(certificate|unknown ca|access denied|decrypt error)|certificate required", _OWN),
    # TLS 1.2 without a certificate; a TLS 1.3 alert that arrived before the request was sent
    ("handshake failure|EOF occurred", _ENDED),
    ("expired|not yet valid", _RENEW),
    ("mismatch|not valid for", _NAME),
    ("wrong version number|record layer failure|http request|packet length", _PLAIN),
    ("certificate", _SIGNER),
)
_PAGES: Final = (
    # nginx and Go's net/http
    (
        "plain HTTP request was sent to HTTPS|HTTP request to an HTTPS",
        "the server uses TLS: write https:// in `influxdb.url`",
    ),
    # nginx, its statuses 495 and 496
    ("SSL certificate", _OWN),
)


def make_ssl_context(tls: InfluxTlsConfig) -> ssl.SSLContext:
    """Create the TLS context; raise OSError, with the remedy, if a file cannot be used."""
    try:
        for path in filter(None, _files(tls)):
            # OpenSSL waits for a pipe, and reads a device forever
            read_file(Path(path), _LARGEST_PEM)
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:  # includes ssl.SSLError
        named = ", ".join(filter(None, _files(tls)))
        raise OSError(f"influxdb.tls ({named}): {error}; check that they are PEM files") from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint_files(tls: InfluxTlsConfig) -> tuple[tuple[int, ...], ...]:
    """Return values that change when a file changes: certificates are renewed at run time."""
    seen: list[tuple[int, ...]] = []
    for path in filter(None, _files(tls)):
        try:
            status = Path(path).stat()
        except OSError:
            seen.append((0,))
        else:
            seen.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(seen)


def find_remedy(failure: str) -> str:
    """Return the remedy for a TLS failure, given OpenSSL's text."""
    said = failure.replace("_", " ")
    found = (remedy for words, remedy in _REMEDIES if re.search(words, said, re.IGNORECASE))
    return next(
        found, ("check that the server, and any proxy in front of it, support TLS 1.2 or later")
    )


def find_remedy_of_page(page: str) -> str | None:
    """Return the remedy if a response is a server's error page about TLS, else None."""
    return next((remedy for words, remedy in _PAGES if re.search(words, page)), None)


def _files(tls: InfluxTlsConfig) -> tuple[str, str, str]:
    return tls.ca_file, tls.cert_file, tls.key_file
