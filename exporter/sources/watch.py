"""Wake the loop when a watched file changes: watchdog on the folders that hold it."""

import glob
import logging
import threading
from fnmatch import fnmatch
from pathlib import Path

from watchdog.events import (
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from exporter.sources.links import folder_of

log = logging.getLogger("heptad.watch")


class _Waker(FileSystemEventHandler):
    """Sets ``wake`` for changes of files whose path matches; reading and opening are no change."""

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


class Watch:
    """Watches the folders of ``globs``; ``renew`` takes up those that were not there yet.

    Where the system grants no watch (fs.inotify.max_user_watches), the loop's slow poll alone
    does the work: later, but nothing is lost.
    """

    def __init__(self, globs: list[str], wake: threading.Event) -> None:
        self._handler = _Waker(globs, wake)
        self._missing = {folder_of(pattern) for pattern in globs}
        # to watch everything for the sake of /*/x.log costs too much: there polling must do
        deep = [pattern for pattern in globs if glob.has_magic(str(Path(pattern).parent))]
        self._parents = {folder_of(pattern) for pattern in deep} - {Path("/")}
        self._observer: BaseObserver | None = None
        self.renew()

    def renew(self) -> None:
        """Watch the folders that have appeared since."""
        for folder in [folder for folder in self._missing if folder.is_dir()]:
            self._missing.discard(folder)
            try:
                if self._observer is None:
                    observer = Observer()
                    observer.start()
                    self._observer = observer
                recursive = folder in self._parents
                self._observer.schedule(self._handler, str(folder), recursive=recursive)
            except OSError as error:
                log.warning("no watch: polling only", extra={"path": folder, "error": error})

    def close(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
