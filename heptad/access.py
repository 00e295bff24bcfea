"""Who may ask a port: TLS and basic auth as its web-config file says.

A client that asks each second does not cost a bcrypt run each time: what was verified is
remembered, as a keyed digest, one for each user.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Final, Literal

import bcrypt

from heptad.document import DocumentError
from heptad.log import Condition
from heptad.web_config import load_web_config, make_context

log = logging.getLogger("heptad.server")

Verdict = Literal["admitted", "refused", "busy"]

_MOST_RUNS: Final = 2
_PATIENCE: Final = 2.0
_LONGEST_PASSWORD: Final = 72
"""Bytes: bcrypt takes no account of what follows (Provos and Mazières, 1999)."""


class Credentials:
    """The users of a port and their bcrypt hashes; at most two runs of bcrypt at once."""

    def __init__(self, users: dict[str, str]) -> None:
        self._hashes = {user.encode(): hashed.encode() for user, hashed in users.items()}
        self._secret = os.urandom(32)
        self._verified: dict[bytes, bytes] = {}
        self._places = threading.BoundedSemaphore(_MOST_RUNS)

    def judge(self, header: str) -> Verdict:
        """What an Authorization header is worth; ``busy`` where too many wait for an answer."""
        if not self._hashes:
            return "admitted"
        found = _parse_basic(header)
        if found is None:
            return "refused"
        user, password = found
        digest = hmac.digest(self._secret, password, hashlib.sha256)
        if self._is_known(user, digest):
            return "admitted"
        if not self._places.acquire(timeout=_PATIENCE):
            return "busy"
        try:
            return "admitted" if self._verify(user, password, digest) else "refused"
        finally:
            self._places.release()

    def _is_known(self, user: bytes, digest: bytes) -> bool:
        return hmac.compare_digest(self._verified.get(user, b""), digest)

    def _verify(self, user: bytes, password: bytes, digest: bytes) -> bool:
        if self._is_known(user, digest):
            return True
        # a name that is not there costs as much as one that is, and so stays unknown
        hashed = self._hashes.get(user, next(iter(self._hashes.values())))
        try:
            right = bcrypt.checkpw(password, hashed)
        except ValueError:  # a hash or password that bcrypt cannot take
            right = False
        if not right or user not in self._hashes:
            return False
        self._verified[user] = digest
        return True


def _parse_basic(header: str) -> tuple[bytes, bytes] | None:
    """User and password of RFC 7617, the password as far as bcrypt looks at it."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(b":")
    return (user, password[:_LONGEST_PASSWORD]) if colon else None


class Access:
    """TLS and basic auth of one port; none of them without ``path``.

    When one of the files changes, as a renewed certificate does, they are read again; where they
    are faulty then, the log says so and what was read before stays. Raises DocumentError at first.
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
        self._seen = _look(self._files)

    @property
    def encrypts(self) -> bool:
        """Whether it speaks TLS."""
        return self._context is not None

    def wrap(self, connection: socket.socket) -> socket.socket:
        """The connection, where it shall speak TLS with that; the handshake is yet to be done."""
        if self._path is not None:
            self._renew(self._path)
        if self._context is None:
            return connection
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def judge(self, header: str) -> Verdict:
        """What an Authorization header is worth."""
        return self._credentials.judge(header)

    def _load(self, path: Path) -> None:
        config = load_web_config(path)
        tls = config.tls_server_config
        context = make_context(tls) if tls is not None else None
        asks = (tls is not None, bool(config.basic_auth_users))
        if self._files and asks != self._asks:
            raise OSError("TLS and basic auth cannot come or go while it runs; restart Heptad")
        self._asks = asks
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls is not None else ()
        self._files = [path, *(Path(name) for name in named if name)]
        self._context = context
        self._credentials = Credentials(config.basic_auth_users)

    def _renew(self, path: Path) -> None:
        with self._lock:
            files, seen = self._files, _look(self._files)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._load(path)
            except (DocumentError, OSError) as error:
                self._condition.set(" ".join(str(error).split()))
                return
            if self._files != files:
                self._seen = _look(self._files)
            self._condition.set(None)
            log.info("web_config was read again", extra={"file": path})


def _look(files: list[Path]) -> list[tuple[int, int, int]]:
    """What tells a file from how it was before."""
    seen = []
    for file in files:
        try:
            status = file.stat()
            seen.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            seen.append((0, 0, 0))
    return seen
