"""Which configuration a command reads if none is named, and that it says so."""

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.cli.commands import COMMANDS
from heptad.cli.main import main, make_parser
from heptad.core.config import location
from heptad.core.config.location import describe_config, find_config

LOGS = "sources: [{{type: file, name: auth, paths: ['{}'], timezone: UTC}}]\n"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The two default paths, below a folder of this test, and no variable that names a file."""
    monkeypatch.delenv(location.VARIABLE)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    system, own = tmp_path / "etc/heptad.yaml", tmp_path / "home/.config/heptad/heptad.yaml"
    monkeypatch.setattr(location, "SYSTEM", system)
    for path in (system, own):
        path.parent.mkdir(parents=True)
    return system, own


def test_the_order(
    paths: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEPTAD_CONFIG, else the system's, else the user's, else none; an empty variable is none."""
    system, own = paths
    assert find_config() is None
    own.touch()
    assert find_config() == own
    system.touch()
    assert find_config() == system
    monkeypatch.setenv(location.VARIABLE, str(tmp_path / "gone.yaml"))
    assert find_config() == tmp_path / "gone.yaml"
    monkeypatch.setenv(location.VARIABLE, "")
    assert find_config() is None
    assert find_config(own) == own


def test_the_system_s_path() -> None:
    """The path of the package, and XDG's folder where one is set."""
    assert Path("/etc/heptad/heptad.yaml") == location.SYSTEM


def test_xdg_s_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_CONFIG_HOME takes the place of ~/.config; without a home there is one path."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert location.default_paths()[1] == Path("/xdg/heptad/heptad.yaml")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert location.default_paths()[1] == Path("/home/ann/.config/heptad/heptad.yaml")
    monkeypatch.delenv("HOME")
    assert location.default_paths() == [location.SYSTEM]


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options of a command and of its subcommands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for verb in action.choices.values():
                yield from options_of(verb)


def test_every_command_reads_it(paths: tuple[Path, Path]) -> None:
    """Each --config, and the file of check-config, has the default path as its default."""
    paths[0].touch()
    found = [
        action.default
        for command in COMMANDS
        for action in options_of(make_parser(command))
        if "--config" in action.option_strings or action.dest == "file"
    ]
    assert len(found) > len(COMMANDS)
    assert set(found) == {paths[0], argparse.SUPPRESS}


def test_check_config(
    paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an argument it checks the default one; a file that is named must exist."""
    assert main(["check-config"]) == 0
    assert "no configuration file" in capsys.readouterr().out
    paths[1].write_text("host: a b\n")
    assert main(["check-config"]) == 2
    assert f"{paths[1]}:1:7: host: is not a host name" in capsys.readouterr().err
    monkeypatch.setenv(location.VARIABLE, "/gone.yaml")
    assert main(["check-config"]) == 2
    assert "/gone.yaml:0:0: cannot be read: No such file" in capsys.readouterr().err


def test_a_default_that_cannot_be_read(
    paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A default path that exists is read or reported, never passed over."""
    paths[0].mkdir()
    paths[1].touch()
    assert main(["events"]) == 2
    assert f"{paths[0]}:0:0: cannot be read: Is a directory" in capsys.readouterr().err


def test_check_config_reports_all_files_at_once(
    paths: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The faults of the configuration, of rule files and of both web-config files come together."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/x.yaml").write_text("colour: red\n")
    for name in ("one", "two"):
        (tmp_path / name).write_text("colour: red\n")
    paths[0].write_text(
        f"host: a b\nrules: ['{tmp_path}/rules']\ntrust: [{{program: sshd, exe: [x]}}]\n"
        f"exporter: {{web_config_file: '{tmp_path}/one'}}\n"
        f"aggregator: {{web_config_file: '{tmp_path}/two'}}\n"
    )
    assert main(["check-config"]) == 2
    shown = capsys.readouterr().err
    for place in (
        f"{paths[0]}:1:7",
        *(f"{tmp_path}/{n}:1:9" for n in ("rules/x.yaml", "one", "two")),
    ):
        assert place in shown, shown


@pytest.mark.parametrize("part", ["exporter", "aggregator"])
def test_the_first_log_line(
    part: str, paths: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each part logs which configuration it read, or that it read none."""
    log = tmp_path / "auth.log"
    log.touch()
    paths[1].write_text(LOGS.format(log) + "aggregator: {listen: '127.0.0.1:0'}\n")
    assert main(["exporter", "--once"]) == 0
    capsys.readouterr()
    assert main([part, "--once"]) == 0
    assert f"config={paths[1]}" in capsys.readouterr().err
    assert describe_config(None) == "none, all options have their defaults"


def test_the_banner(tmp_path: Path) -> None:
    """`heptad up` names the file that it read in its first lines."""
    log, config = tmp_path / "auth.log", tmp_path / "heptad.yaml"
    log.touch()
    config.write_text(
        LOGS.format(log)
        + "exporter: {listen: '127.0.0.1:0'}\naggregator: {listen: '127.0.0.1:0'}\n"
    )
    env = {**os.environ, location.VARIABLE: str(config), "STATE_DIRECTORY": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "heptad", "up"], stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()  # type: ignore[union-attr]
    assert any(re.fullmatch(rf"  config +{config}\n", line) for line in lines), lines
