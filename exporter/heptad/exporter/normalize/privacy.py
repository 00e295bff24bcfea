"""Hash, mask or drop personal data in lines, before anything stores it.

A user who types a password instead of a user name writes it to the log. Names that the daemon
itself reports as unknown are therefore hashed by default, and an event with a masked value has no
raw line. Hashes and pseudonyms are keyed: without the key, the store does not allow guessing names.
"""

import errno
import hashlib
import ipaddress
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from heptad.core.config.schema import PrivacyConfig
from heptad.core.store.api import StoreError
from heptad.exporter.parsing.captured_fields import classify_address
from heptad.exporter.parsing.compiled_rule import CompiledRule, RuleMatch

KEY_BYTES: Final = 32
_HASH_BYTES: Final = 6
_WELL_KNOWN_FILE: Final = Path(__file__).parent / "well_known_names.txt"
_BEFORE: Final = ("invalid user ", "Invalid user ", "illegal user ")
_BEHIND: Final = re.compile(
    r"(?:, |: \d+ \(|' \([^()]*\): )User not known to the underlying authentication module"
)
_RUNS: Final = frozenset(("privilege", "command"))
_WORD: Final = re.compile(r"\s*([^\s=]*=?)")
_ADDRESSES: Final = re.compile(r"[0-9A-Fa-f:.]{3,45}")
_HERE: Final = frozenset(("", "UNKNOWN", "localhost", "localhost.localdomain"))
_LOOPBACK: Final = {4: (0x7F000001, 8), 6: (1, 128)}
"""Address and prefix length of the networks that are not masked: RFC 1122, RFC 4291."""


class Privacy:
    """Masks values as ``config`` says; ``key`` is secret and never shown."""

    def __init__(self, config: PrivacyConfig, key: bytes) -> None:
        self._key = key
        self._well_known = load_well_known_names()
        self.masks_names = config.unknown_users != "keep"
        self._drops = config.unknown_users == "drop"
        self._programs_only = config.commands == "program"
        self._pseudonyms = config.addresses == "pseudonym"
        self._pseudonym = lru_cache(maxsize=8192)(self._map_address)
        self._masks_more = self._programs_only or self._pseudonyms
        self._show_name = lru_cache(maxsize=8192)(self._mask_name)

    def mask(self, found: RuleMatch, message: str) -> RuleMatch | None:
        """Return ``found`` as it may be stored, or None if unchanged; cached in ``found``."""
        rule, place = found.rule, None
        if self.masks_names:
            place = rule.at_unknown
            if place is None and rule.may_tell_unknown and _speaks_of_nobody(message):
                place = _find_unknown(rule, message)
        found.masked_by = self
        if place is not None or self._masks_more:
            found.masked = self._mask(found, message, place)
        else:
            found.masked = None
        return found.masked

    def mask_unknown_user(self, found: RuleMatch, message: str) -> RuleMatch:
        """Mask the user, if other lines show that it is not an account."""
        return self._mask(found, message, found.rule.at_user if self.masks_names else None) or found

    def rewrite(self, found: RuleMatch, shown: RuleMatch, message: str) -> str | None:
        """Return ``message`` with the values of ``shown`` instead of those of ``found``.

        None if more than a name may have to be masked, or if the name occurs a second time.
        """
        match = found.rule.fullmatch(message)
        if match is None or self._masks_more:
            return None
        text, begin = "", 0
        changed = [
            (match.start(place + 1), match.end(place + 1), old, new or "")
            for place, (old, new) in enumerate(zip(found.values, shown.values, strict=True))
            if old != new
        ]
        for start, end, _, new in sorted(changed):
            text += message[begin:start] + new
            begin = end
        text += message[begin:]
        return (
            text if changed and not any(old and old in text for _, _, old, _ in changed) else None
        )

    def keep_line(self, raw: str) -> str | None:
        """Return a line that no rule matches, if it may be stored; its values cannot be masked."""
        if self._programs_only or self._pseudonyms:
            return None
        return None if self.masks_names and _speaks_of_nobody(raw) else raw

    def _mask(self, found: RuleMatch, message: str, place: int | None) -> RuleMatch | None:
        """``place`` is that of an unknown account's name, see ``_find_unknown``."""
        name = found.values[place] if place is not None and place >= 0 else None
        shown = self._show_name(name) if name else name
        hides = self._pseudonyms or (place is not None and (name is None or shown != name))
        if not hides and not self._programs_only:
            return None
        rule, values = found.rule, list(found.values)
        if place is not None and place >= 0:
            values[place] = shown
        if self._programs_only:
            hides |= self._cut_command(rule, message, values)
        if self._pseudonyms:
            self._mask_addresses(rule, values)
        if not hides:
            return None
        masked = RuleMatch(rule, tuple(values), hides_line=True)
        if name and not shown and place is not None:
            values[place] = None
            masked.shown = tuple(values)
        return masked

    def _mask_name(self, name: str) -> str:
        """Return what is stored of the name of an unknown account; the empty text if nothing.

        Not None, because for login attempts a name was given.
        """
        if self._drops:
            return ""
        return name if name.lower() in self._well_known else self._hash(name, b"heptad user")

    def _cut_command(self, rule: CompiledRule, message: str, values: list[str | None]) -> bool:
        """Reduce a command to its program; return whether the line may contain a command."""
        if rule.fixed[0] not in _RUNS:
            return "COMMAND=" in message or '"command":' in message
        place = rule.groups.get("object", -1)
        command = values[place] if place >= 0 else None
        if command is not None:
            # of a variable that is set before the program, keep only the name
            found = _WORD.match(command)
            values[place] = found[1] if found else ""
        return True

    def _mask_addresses(self, rule: CompiledRule, values: list[str | None]) -> None:
        place = rule.at_address
        if place >= 0 and (text := values[place]):
            values[place] = self._mask_address(text)
        place = rule.groups.get("object", -1)
        if place >= 0 and (text := values[place]):
            values[place] = _ADDRESSES.sub(self._mask_quoted, text)

    def _mask_quoted(self, found: re.Match[str]) -> str:
        ip, _ = classify_address(found[0])
        return found[0] if ip is None else self._pseudonym(ip)

    def _mask_address(self, text: str) -> str:
        ip, name = classify_address(text)
        if ip is not None:
            return self._pseudonym(ip)
        return text if name is None or name in _HERE else self._hash(name, b"heptad name")

    def _hash(self, text: str, purpose: bytes) -> str:
        """Return ``~`` and 12 hexadecimal digits, by RFC 7693's keyed mode."""
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=_HASH_BYTES, key=self._key, person=purpose)
        return f"~{digest.hexdigest()}"

    def _map_address(self, text: str) -> str:
        """Return the pseudonym of an address; a common prefix of n bits stays a common prefix.

        The construction of Xu, Fan, Ammar and Moon (Prefix-preserving IP address anonymization,
        ICNP 2002): bit i is flipped or not by a pseudo-random function of the i bits before it. No
        bit of the loopback network's prefix is flipped, so its addresses stay in it.
        """
        address = ipaddress.ip_address(text)
        bits, width, known = int(address), address.max_prefixlen, _LOOPBACK[address.version]
        if bits >> (width - known[1]) == known[0] >> (width - known[1]):
            return text
        turned = 0
        for length in range(width):
            prefix = bits >> (width - length)
            if prefix == known[0] >> (width - length):
                continue
            data = bytes((address.version, length)) + prefix.to_bytes(16, "big")
            digest = hashlib.blake2b(data, digest_size=1, key=self._key, person=b"heptad address")
            turned |= (digest.digest()[0] & 1) << (width - 1 - length)
        return str(type(address)(bits ^ turned))


def _find_unknown(rule: CompiledRule, message: str) -> int:
    """Return the place of the value that is the name of an unknown account.

    -1 if the line may contain such a name outside of the captured values.
    """
    match = rule.fullmatch(message) if rule.at_user >= 0 else None
    group = rule.at_user + 1
    if match is None or match.group(group) is None:
        return -1
    before, behind = message[: match.start(group)], message[match.end(group) :]
    is_unknown = before.endswith(_BEFORE) or _BEHIND.match(behind) is not None
    return rule.at_user if is_unknown else -1


def _speaks_of_nobody(text: str) -> bool:
    """Return whether a text has the words with which daemons report an unknown account.

    Letters that may be capitals are left out. Searching for all of them takes a sixth of the time
    of a single pattern.
    """
    return "o passwd entry" in text or (
        "ser" in text
        and (
            "nvalid user" in text
            or "llegal user" in text
            or "onexistent user" in text
            or "nknown user" in text
            or "ser not known" in text
            or "ser unknown" in text
            or "check pass; user" in text
            or "bad username" in text
            or "could not identify user" in text
            or "find user" in text
            or "no such user" in text
        )
    )


@lru_cache(maxsize=1)
def load_well_known_names() -> frozenset[str]:
    """Return the names that are not masked although they may be unknown, in lower case."""
    lines = _WELL_KNOWN_FILE.read_text(encoding="utf-8").split("\n")
    return frozenset(line for line in lines if line and not line.startswith("#"))


def make_privacy(config: PrivacyConfig, store: Path) -> Privacy | None:
    """Create the masking that ``config`` requires, with the key next to ``store``; None if none.

    The caller must hold the store's lock. Raises StoreError if the key cannot be used.
    """
    if config == PrivacyConfig(unknown_users="keep"):
        return None
    needs_key = config.unknown_users == "hash" or config.addresses == "pseudonym"
    path = store.with_name(f"{store.name}.key")
    return Privacy(config, load_key(path) if needs_key else bytes(KEY_BYTES))


def load_key(path: Path) -> bytes:
    """Load the key in ``path``, or create it; raises StoreError with the remedy."""
    try:
        if not path.exists():
            _make_key(path)
        status, key = _read_key(path)
    except OSError as error:
        remedy = "run Heptad as the account that created it"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            remedy = "check that the directory is writable and has space"
        raise StoreError(
            f"{path}: cannot read the key for hashed names: {error.strerror}; {remedy}, or set "
            "privacy.unknown_users to drop"
        ) from None
    if not _is_ours(status, path.parent):
        raise StoreError(
            f"{path}: the key for hashed names belongs to another account; `chown` it to this "
            "account and `chmod 600` it, or remove it to create a new key"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StoreError(
            f"{path}: other accounts may read the key for hashed names; run chmod 600 {path}"
        )
    if len(key) != KEY_BYTES:
        raise StoreError(
            f"{path}: is not a key of {KEY_BYTES} bytes; restore the correct file, or remove "
            "it to create a new key, which changes the hash of every name"
        )
    return key


def _read_key(path: Path) -> tuple[os.stat_result, bytes]:
    """Read the file itself, not the target of another account's link; raises OSError."""
    if path.is_symlink() and not _is_ours(path.lstat(), path.parent):
        raise OSError(errno.ELOOP, "it is a symbolic link of another account")
    # a FIFO would block the start
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return status, file.read(KEY_BYTES + 1)


def _is_ours(status: os.stat_result, folder: Path) -> bool:
    """Return whether it belongs to root, to this account, or to the owner of the folder."""
    return status.st_uid in (0, os.geteuid(), folder.stat().st_uid)


def _make_key(path: Path) -> None:
    """Write the key atomically: a truncated key would be an error at the next start."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
