"""Run the parts; reload the configuration on SIGHUP, and notify systemd.

Everything that can be checked is checked before the old parts end. Their state is in their stores,
so the new ones continue where they ended.
"""

import logging
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from heptad.cli.commands import DONE, FAILED, set_up_log
from heptad.cli.runtime import systemd
from heptad.cli.runtime.early_signals import has_terminal, received
from heptad.cli.runtime.supervisor import TICK, Signals, Supervisor, Worker
from heptad.core.config.schema import Config, SourceConfig
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.telemetry.metrics import RELOADS, StoredMetrics
from heptad.exporter.app import find_sources
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.settings import load_settings

log = logging.getLogger("heptad")

_REST: Final = 1.0
"""Minimum seconds between two reloads: many signals must not stop the parts from working."""
_LONGEST_RELOAD: Final = 90.0
"""Maximum seconds of a reload until it counts as stuck; systemd's own default for a start."""
_LEAST_PATIENCE: Final = 30.0
"""Minimum patience with a loop, in seconds: SQLite alone waits ten for a locked store."""


class CheckedConfig(msgspec.Struct):
    """A configuration that was checked, with its rules if the exporter runs."""

    config: Config
    rulebook: Rulebook | None = None
    sources: list[SourceConfig] | None = None
    file: Path | None = None


def check_exporter_config(path: Path | None) -> CheckedConfig:
    """Load the configuration and its rules; raise DocumentError or NoSources."""
    settings = load_settings(path)
    sources = find_sources(settings.config)
    return CheckedConfig(settings.config, settings.rulebook, sources, path)


Workers = Mapping[str, Worker]
Build = Callable[[CheckedConfig, StoredMetrics], Workers]


def run_reloading(
    plan: CheckedConfig,
    build: Build,
    check: Callable[[], CheckedConfig],
    begin: Callable[[], None] = lambda: None,
) -> int:
    """Build the parts of ``plan`` and run them until they end; return the exit status.

    At SIGHUP ``check`` returns the new plan, or raises, and then the old one stays. ``begin`` is
    called once the first parts are built. Errors of the first ``build`` are raised.
    """
    return _Operation(plan, build, check).run(begin)


class _Operation:
    def __init__(
        self, plan: CheckedConfig, build: Build, check: Callable[[], CheckedConfig]
    ) -> None:
        self._plan = plan
        self._build = build
        self._check = check
        self._metrics = StoredMetrics({}, RELOADS, {})
        self._signals = Signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._watchdog = systemd.Watchdog(self._lives)
        self._reload_until: float | None = None
        self._told_ready = False
        self._status = ""
        # closing the terminal ends the command as usual, unless nohup(1) or the like prevents it
        held = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        self._bound_to_terminal = held and has_terminal()

    def run(self, begin: Callable[[], None]) -> int:
        """Run until the parts end."""
        # opening a large store takes a while: SIGHUP must not end the process then, but Ctrl-C may
        with Signals(signal.SIGHUP) as early:
            self._supervisor = self._make(self._plan)
            self._tell_success()
            begin()
            with self._signals:
                self._signals.heard |= early.heard | received
                self._supervisor.start()
                self._watchdog.start()
                try:
                    return self._run()
                finally:
                    self._watchdog.close()
                    self._supervisor.stop()

    def _make(self, plan: CheckedConfig) -> Supervisor:
        return Supervisor(self._build(plan, self._metrics), self._signals.wake)

    def _run(self) -> int:
        reload_due = 0.0
        while self._supervisor.running() and not self._supervisor.failed and not self._signals.end:
            self._tell_ready()
            if signal.SIGHUP in self._signals.heard and time.monotonic() >= reload_due:
                self._signals.heard.discard(signal.SIGHUP)
                if self._bound_to_terminal and not has_terminal():
                    break
                if not self._reload():
                    return FAILED
                reload_due = time.monotonic() + _REST
            self._signals.wait(TICK if self._told_ready else TICK / 10)
        systemd.notify(STOPPING=1, STATUS="Stopping")
        self._supervisor.stop()
        self._supervisor.wait(self._signals)
        return FAILED if self._supervisor.failed else DONE

    def _tell_ready(self) -> None:
        if not self._told_ready and self._supervisor.ready:
            self._told_ready = True
            systemd.notify(READY=1, STATUS=self._status or "Running")

    def _lives(self, patience: float) -> bool:
        until = self._reload_until
        if until is not None:
            return time.monotonic() < until
        return not self._supervisor.hangs(max(patience, _LEAST_PATIENCE))

    def _reload(self) -> bool:
        """Apply the new configuration, or keep the old one; return False if neither is possible."""
        log.info("reloading the configuration")
        systemd.notify_reloading()
        self._told_ready = False
        self._reload_until = time.monotonic() + _LONGEST_RELOAD
        try:
            plan = self._check()
        except Exception as error:  # noqa: BLE001 - a reload must not end what runs
            self._reject(error, "configuration rejected; the previous one is still active")
            done = True
        else:
            done = self._replace(plan)
        self._reload_until = None
        return done

    def _replace(self, plan: CheckedConfig) -> bool:
        self._supervisor.stop()
        self._supervisor.wait(self._signals)
        if self._supervisor.failed or self._signals.end:
            return not self._supervisor.failed
        try:
            supervisor = self._make(plan)
        except Exception as error:  # noqa: BLE001 - a reload must not end what runs
            self._reject(error, "configuration cannot be applied; reverting to the previous one")
            return self._go_back()
        self._plan, self._supervisor = plan, supervisor
        set_up_log(plan.config)
        self._supervisor.start()
        self._status = "Running with the reloaded configuration"
        self._tell_success()
        log.info("configuration reloaded")
        return True

    def _go_back(self) -> bool:
        try:
            self._supervisor = self._make(self._plan)
        except Exception:
            log.critical("cannot revert to the previous configuration either", exc_info=True)
            return False
        self._supervisor.start()
        log.warning("reverted to the previous configuration")
        return True

    def _reject(self, error: Exception, what: str) -> None:
        problems = error.problems if isinstance(error, DocumentError) else [error]
        for problem in problems:
            log.error("%s", what, extra={"problem": problem})
        log.debug("refused", exc_info=error)
        self._status = f"{what.capitalize()}: {problems[0]}"
        self._metrics.set("heptad_config_last_reload_successful", 0)

    def _tell_success(self) -> None:
        self._metrics.set("heptad_config_last_reload_successful", 1)
        self._metrics.set("heptad_config_last_reload_success_timestamp_seconds", time.time())
