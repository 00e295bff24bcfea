"""TLS and basic auth of a port, as configured by its web configuration file.

To avoid a bcrypt run per scrape, verified passwords are remembered as a keyed digest, one per user.
An attacker cannot find out user names by timing: any failed login costs as much as the most
expensive hash.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import ssl
import threading
from pathlib import Path
from typing import Final, Literal

import bcrypt

from heptad.core.config.strict_yaml import DocumentError
from heptad.core.config.web import load_web_config, make_context
from heptad.core.telemetry.log import Condition

log = logging.getLogger("heptad.server")

Verdict = Literal["admitted", "refused"]

_LONGEST_PASSWORD: Final = 72
"""Bytes; bcrypt ignores the rest (Provos and Mazières, 1999)."""


class Credentials:
    """The users of a port and their bcrypt hashes."""

    def __init__(self, users: dict[str, str]) -> None:
        self._hashes = {user.encode(): hashed.encode() for user, hashed in users.items()}
        self._dearest = max(map(_cost_of, self._hashes.values()), default=0)
        self._secret = os.urandom(32)
        self._verified: dict[bytes, bytes] = {}

    def recall(self, header: str) -> Verdict | None:
        """Return the verdict on an Authorization header if it is known without bcrypt, or None."""
        if not self._hashes:
            return "admitted"
        found = _parse_basic(header)
        if found is None:
            return "refused"
        user, password = found
        known = hmac.compare_digest(self._verified.get(user, b""), self._digest(password))
        return "admitted" if known else None

    def verify(self, header: str) -> Verdict:
        """Return the verdict.

        If it is unknown, run bcrypt, which blocks for as long as its cost requires.
        """
        known, found = self.recall(header), _parse_basic(header)
        if known is not None or found is None:
            return known or "refused"
        user, password = found
        hashed = self._hashes.get(user)
        if hashed is not None and _run(password, hashed):
            self._verified[user] = self._digest(password)
            return "admitted"
        costs = [self._dearest]
        if hashed is not None:
            # the runs missing to the highest cost: 2**4 + (2**4 + 2**5 + 2**6) = 2**7
            costs = list(range(_cost_of(hashed), self._dearest))
        for cost in costs:
            _run(password, _make_dummy(cost))
        return "refused"

    def _digest(self, password: bytes) -> bytes:
        return hmac.digest(self._secret, password, hashlib.sha256)


def _cost_of(hashed: bytes) -> int:
    return int(hashed[4:6])


def _make_dummy(cost: int) -> bytes:
    return b"$2b$%02d$" % cost + b"." * 53


def _run(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # a hash or password that bcrypt rejects
        return False


def _parse_basic(header: str) -> tuple[bytes, bytes] | None:
    """Return user and password (RFC 7617); the password is cut to the length that bcrypt uses."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(b":")
    return (user, password[:_LONGEST_PASSWORD]) if colon else None


class Authenticator:
    """TLS and basic auth of one port; neither of them without ``path``.

    Raise DocumentError if the file is invalid at the start. The files are reloaded when they
    change, for example when a certificate is renewed. If they are invalid then, that is logged and
    the previous settings stay in use.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._condition = Condition(log, "web_config", file=path or "")
        self._credentials = Credentials({})
        self._context: ssl.SSLContext | None = None
        self._files: list[Path] = []
        self._asks = (False, False)
        if path is not None:
            self._load(path)
        self._seen = _stat_files(self._files)

    @property
    def encrypts(self) -> bool:
        """Whether the port uses TLS."""
        return self._context is not None

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context for a new connection; None without TLS."""
        self._renew()
        return self._context

    def recall(self, header: str) -> Verdict | None:
        self._renew()
        return self._credentials.recall(header)

    def verify(self, header: str) -> Verdict:
        return self._credentials.verify(header)

    def _load(self, path: Path) -> None:
        config = load_web_config(path)
        tls = config.tls_server_config
        context = make_context(tls) if tls is not None else None
        asks = (tls is not None, bool(config.basic_auth_users))
        if self._files and asks != self._asks:
            raise OSError(
                "TLS and basic auth cannot be turned on or off at run time; restart Heptad"
            )
        self._asks = asks
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls is not None else ()
        self._files = [path, *(Path(name) for name in named if name)]
        self._context = context
        self._credentials = Credentials(config.basic_auth_users)

    def _renew(self) -> None:
        path = self._path
        if path is None:
            return
        with self._lock:
            files, seen = self._files, _stat_files(self._files)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._load(path)
            except (DocumentError, OSError) as error:
                self._condition.set(" ".join(str(error).split()))
                return
            if self._files != files:
                self._seen = _stat_files(self._files)
            self._condition.set(None)
            log.info("web_config_file reloaded", extra={"file": path})


def _stat_files(files: list[Path]) -> list[tuple[int, int, int]]:
    """Return values that differ after a file was changed or replaced."""
    seen = []
    for file in files:
        try:
            status = file.stat()
            seen.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            seen.append((0, 0, 0))
    return seen
