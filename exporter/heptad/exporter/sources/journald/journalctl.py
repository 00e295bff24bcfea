"""A running journalctl(1) and its output, in bounded memory."""

import os
import queue
import re
import subprocess
import threading
from contextlib import suppress
from typing import Final

OVERSIZED: Final = b"\n"
"""Represents a line that was too long; no other line contains a line break."""

_CHUNK: Final = 64 * 1024
_QUEUED: Final = 64
_TAKEN: Final = 2 * 1024**2
_LONGEST_LINE: Final = 1024**2
_MOST_ERRORS: Final = 20
_LONGEST_ERROR: Final = 4096
DAMAGE: Final = re.compile(
    r"Invalid field|Bad message|Cannot assign requested address|Protocol not supported"
)
"""Messages of journalctl when it stops because of corruption in a file."""
_SKIPS_ENTRIES: Final = "iterate through"
_PASSED_OVER: Final = (_SKIPS_ENTRIES, "can't read", "is bad, skipping")
"""Debug messages of journalctl about corruption that it skips."""
_PRIORITY: Final = re.compile(r"<(\d{1,3})>")
"""Facility * 8 + level (syslog(3))."""
_DEBUG: Final = 7
_ENVIRONMENT: Final = {
    # only the debug log shows which corruption it skips
    "SYSTEMD_LOG_LEVEL": "debug",
    "SYSTEMD_LOG_TARGET": "console-prefixed",
    "LC_ALL": "C.UTF-8",
}


def skips_entries(damage: str) -> bool:
    """Return whether the rest of a file is skipped, not only an entry or a field."""
    return _SKIPS_ENTRIES in damage


class Journalctl:
    """A journalctl process, with a thread that reads its output as fast as it is consumed.

    Raises OSError if the process or its threads cannot be started.
    """

    def __init__(self, command: list[str], wake: threading.Event) -> None:
        self._wake = wake
        self._closing = threading.Event()
        self._chunks: queue.Queue[bytes] = queue.Queue(_QUEUED)
        self._rest = b""
        self._skipping = False
        self._errors: list[str] = []
        self._damage: list[str] = []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
        )
        self._threads = [
            threading.Thread(target=self._pump, daemon=True, name="journalctl"),
            threading.Thread(target=self._listen, daemon=True, name="journalctl-errors"),
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError as error:
            self._process.kill()
            self._threads = [thread for thread in self._threads if thread.ident]
            self.close()
            raise OSError(str(error)) from error

    def _pump(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        while chunk := os.read(self._process.stdout.fileno(), _CHUNK):
            while not self._closing.is_set():
                try:
                    self._chunks.put(chunk, timeout=0.5)
                    break
                except queue.Full:
                    continue
            self._wake.set()
        self._wake.set()

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe was asked for
        read = self._process.stderr.readline
        for line in iter(lambda: read(_LONGEST_ERROR), b""):
            text = line.decode("utf-8", "replace").strip()
            found = _PRIORITY.match(text)
            text = text[found.end() if found else 0 :][:200]
            if not found or int(found[1]) % 8 != _DEBUG:
                told = self._errors
            elif any(words in text for words in _PASSED_OVER):
                told = self._damage
            else:
                continue
            told.append(text)
            del told[:-_MOST_ERRORS]

    def take(self, wait: float = 0.0) -> list[bytes]:
        """Return some of the available whole lines; wait up to ``wait`` seconds for the first.

        A line above 1 MiB is skipped, and is OVERSIZED.
        """
        lines: list[bytes] = []
        taken = 0
        try:
            if wait:
                lines = self._split(self._chunks.get(timeout=wait))
            while taken < _TAKEN:
                chunk = self._chunks.get_nowait()
                taken += len(chunk)
                lines += self._split(chunk)
        except queue.Empty:
            pass
        return lines

    def _split(self, chunk: bytes) -> list[bytes]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if self._skipping and lines:
            lines[0] = OVERSIZED
            self._skipping = False
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""
            self._skipping = True
        return lines

    def ended(self) -> bool:
        """Return whether journalctl has ended and all its lines were taken."""
        return not self._threads[0].is_alive() and self._chunks.empty()

    def failed(self) -> bool:
        """Return whether journalctl failed; call it after it has ended."""
        try:
            return self._process.wait(timeout=5) != 0
        except subprocess.TimeoutExpired:
            return True

    def complaints(self) -> list[str]:
        """Return the last lines of standard error; call it after journalctl has ended."""
        self._threads[1].join(timeout=1)
        return list(self._errors)

    def take_damage(self) -> list[str]:
        """Return the corruption in files that was skipped since the last call."""
        if self.ended():
            self._threads[1].join(timeout=1)
        damage, self._damage = self._damage, []
        return damage

    def close(self) -> None:
        """Stop journalctl; lines that were not taken are read again from the cursor."""
        self._closing.set()
        # a stopped process (SIGSTOP) reacts to no other signal
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel and cannot be killed
            self._process.wait(timeout=5)
        for thread in self._threads:
            thread.join(timeout=5)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
