"""Which sources the exporter takes where nothing is configured."""

import pathlib

import pytest

from heptad.core.config.schema import Config, FileSourceConfig, JournaldSourceConfig, StoreConfig
from heptad.exporter import app
from heptad.exporter.app import Exporter, NoSources, choose_sources


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A host whose journal and auth log may be there or not."""
    monkeypatch.setattr(app, "JOURNALS", (str(tmp_path / "journal"),))
    monkeypatch.setattr(app, "AUTH_LOGS", (str(tmp_path / "auth.log"),))
    return tmp_path


def add_journal(host: pathlib.Path) -> None:
    """A system journal."""
    folder = host / "journal" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "system.journal").touch()


def test_the_journal_alone_is_read_where_both_are_there(host: pathlib.Path) -> None:
    """Lines that rsyslog writes to a file too are counted once: one source speaks."""
    add_journal(host)
    (host / "auth.log").touch()
    assert [type(source) for source in choose_sources()] == [JournaldSourceConfig]


def test_the_file_is_read_where_there_is_no_journal(host: pathlib.Path) -> None:
    """Without a system journal the auth log is read."""
    (host / "auth.log").touch()
    source = choose_sources()[0]
    assert isinstance(source, FileSourceConfig)
    assert source.paths == [str(host / "auth.log")]


def test_nothing_to_read_is_said(host: pathlib.Path) -> None:
    """Neither journal nor file: the message names both and the remedy, and no store is left."""
    store = StoreConfig(path=str(host / "events.db"))
    with pytest.raises(NoSources, match="systemd-journal"):
        Exporter(Config(host="h", store=store))
    assert not (host / "events.db").exists()
