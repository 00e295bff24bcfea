"""Wake the main loop when a watched file changes, with watchdog on the folders."""

import errno
import glob
import threading
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from watchdog.events import (
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from heptad.exporter.sources.file.links import folder_of

_AGAIN: Final = 60.0
"""Seconds until a failed watch is requested again."""
_READER: Final = "watchdog.observers.inotify_c"
_REMEDIES: Final = {
    errno.ENOSPC: "raise the sysctl fs.inotify.max_user_watches",
    errno.EMFILE: "raise the sysctl fs.inotify.max_user_instances",
}
_OTHER: Final = "check that its directory is readable"


class _Waker(FileSystemEventHandler):
    """Sets ``wake`` when a matching file changes; reading and opening are ignored."""

    def __init__(self, globs: list[str], wake: threading.Event) -> None:
        self._globs = globs
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("opened", "closed_no_write"):
            return
        for path in (event.src_path, event.dest_path):
            if path and any(fnmatch(str(path), pattern) for pattern in self._globs):
                self._wake.set()
                return


class FileWatcher:
    """Watches the folders of ``globs``; ``renew`` adds those that did not exist before.

    If the kernel refuses a watch, or a watching thread ends, the loop's slow poll reads the files:
    later, but without loss. ``problem`` is then set, and ``renew`` tries again.
    """

    def __init__(self, globs: list[str], wake: threading.Event) -> None:
        self._handler = _Waker(globs, wake)
        self._folders = {folder_of(pattern) for pattern in globs}
        self._missing = set(self._folders)
        # watching everything for /*/x.log is too expensive; there, polling is enough
        deep = [pattern for pattern in globs if glob.has_magic(str(Path(pattern).parent))]
        self._parents = {folder_of(pattern) for pattern in deep} - {Path("/")}
        self._observer: BaseObserver | None = None
        self.problem: str | None = None
        self._due = 0.0
        self.renew()

    def renew(self) -> None:
        """Watch folders that have appeared, and those whose watch has failed."""
        if self._observer is not None and not self._is_alive(self._observer):
            self._fail("the watching thread has stopped", "restart the service if this persists")
            self.close()
            self._observer, self._missing = None, set(self._folders)
        if self.problem is not None and time.monotonic() < self._due:
            return
        failed, found = False, [folder for folder in self._missing if folder.is_dir()]
        for folder in found:
            failed = failed or not self._begin(folder)
        if found and not failed and self._observer and self._is_alive(self._observer):
            self.problem = None

    def _begin(self, folder: Path) -> bool:
        """Watch a folder; return whether it succeeded."""
        try:
            if self._observer is None:
                observer = Observer()
                observer.start()
                self._observer = observer
            recursive = folder in self._parents
            self._observer.schedule(self._handler, str(folder), recursive=recursive)
        except OSError as error:
            self._fail(error.strerror or str(error), _REMEDIES.get(error.errno or 0, _OTHER))
            return False
        self._missing.discard(folder)
        return True

    def _fail(self, reason: str, remedy: str) -> None:
        self._due = time.monotonic() + _AGAIN
        self.problem = (
            f"the kernel does not report changes of its files (inotify: {reason}), so they are "
            f"polled every few seconds instead; {remedy}"
        )

    @staticmethod
    def _is_alive(observer: BaseObserver) -> bool:
        threads = [observer, *observer.emitters]
        # one more thread reads for all observers of the process
        reads = (type(thread).__module__ == _READER for thread in threading.enumerate())
        return all(thread.is_alive() for thread in threads) and (
            not observer.emitters or any(reads)
        )

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
