"""A daemon that writes numbered lines, and a logrotate that rotates them in all three ways."""

import gzip
import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

KEEP: Final = 40


def _now() -> datetime:
    return datetime.now(UTC)


class Writer:
    """Writes numbered lines and rotates, as a daemon and logrotate do; loses no line itself.

    The n-th line (from 1) is a wrong password of the user ``<name of the file><n>``; ``stamps`` are
    their seconds. With ``iso`` timestamps have microseconds, otherwise seconds. ``all_read``
    returns whether that many lines were read: no file is deleted before that. Operations on the log
    and their times are in ``steps``.
    """

    def __init__(
        self,
        path: Path,
        seed: int,
        pause: float = 0.02,
        now: Callable[[], datetime] = _now,
        *,
        iso: bool = False,
        all_read: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.path = path
        self._now = now
        self._iso = iso
        self._all_read = all_read
        self.steps: list[tuple[int, str]] = []
        self.stamps: list[int] = []
        self._pause = pause
        self.rotations = Counter[str]()
        self._chance = random.Random(seed)
        self._rotated: list[Path] = []
        self._stop = threading.Event()
        self._file = self._open()
        self._thread = threading.Thread(target=self._run)

    @property
    def lines(self) -> int:
        """The number of written lines."""
        return len(self.stamps)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            os.close(self._file)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _run(self) -> None:
        kinds = [self._rename, self._copy_and_truncate, self._pack]
        while not self._stop.is_set():
            for _ in range(self._chance.randint(1, 60)):
                self._write(self._chance.randint(1, 40))
                self._stop.wait(self._chance.random() * self._pause)
            self._chance.choice(kinds)()
            self._delete_oldest()

    def _write(self, count: int) -> None:
        """Write lines in one write, or the last of them in two."""
        now = self._now()
        stamp = now.isoformat() if self._iso else f"{now:%b %e %H:%M:%S}"
        text = ""
        for _ in range(count):
            self.stamps.append(int(now.timestamp()))
            text += (
                f"{stamp} tortured sshd[{1000 + self.lines % 5000}]: Failed password for "
                f"{self.path.stem}{self.lines} from 192.0.2.1 port {1024 + self.lines % 60_000} ssh2\n"
            )
        data = text.encode()
        cut = len(data) - self._chance.choice([0, 0, 1, 30])
        os.write(self._file, data[:cut])
        if data[cut:]:
            time.sleep(0.001)
            os.write(self._file, data[cut:])

    def _next_name(self) -> Path:
        return self.path.with_name(f"{self.path.name}-{20260301 + self.rotations.total()}")

    def _note(self, step: str) -> None:
        self.steps.append((time.monotonic_ns(), step))

    def _rename(self) -> None:
        """Rename the log; the daemon writes to the renamed file until it reopens."""
        rotated = self._next_name()
        self._note(f"rename to {rotated.name}")
        self.path.rename(rotated)
        for _ in range(self._chance.randint(0, 4)):
            self._write(self._chance.randint(1, 10))
            time.sleep(0.005)
        self._reopen()
        self._count("rename", rotated)

    def _reopen(self) -> None:
        os.close(self._file)
        self._note("open anew")
        self._file = self._open()

    def _copy_and_truncate(self) -> None:
        rotated = self._next_name()
        self._note(f"copy to {rotated.name}")
        shutil.copyfile(self.path, rotated)
        self._note("truncate")
        os.ftruncate(self._file, 0)
        self._count("copytruncate", rotated)

    def _pack(self) -> None:
        self._rename()
        self.rotations["rename"] -= 1
        plain = self._rotated.pop()
        packed = plain.with_name(plain.name + ".gz")
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        shutil.copystat(plain, packed)
        self._note(f"delete {plain.name}, which is compressed")
        plain.unlink()
        self._count("compress", packed)

    def _count(self, kind: str, rotated: Path) -> None:
        self.rotations[kind] += 1
        self._rotated.append(rotated)

    def _delete_oldest(self) -> None:
        """Delete only what could have been read: many starts may have been killed since."""
        if len(self._rotated) <= KEEP:
            return
        while not self._all_read(self.lines):
            if self._stop.wait(0.02):
                return
        self._note("delete the oldest")
        while len(self._rotated) > KEEP // 2:
            self._rotated.pop(0).unlink()
