"""Which sources the exporter takes where nothing is configured."""

import pathlib

import pytest

from heptad.core.config.schema import (
    Config,
    ExporterConfig,
    FileSourceConfig,
    JournaldSourceConfig,
    StoreConfig,
)
from heptad.exporter.app import Exporter, NoSources, choose_sources


@pytest.fixture
def host(tmp_path: pathlib.Path) -> pathlib.Path:
    """The root of a host whose journal and auth log may be there or not."""
    (tmp_path / "var/log").mkdir(parents=True)
    return tmp_path


def add_journal(host: pathlib.Path) -> None:
    """A system journal."""
    folder = host / "var/log/journal" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "system.journal").touch()


def test_the_journal_alone_is_read_where_both_are_there(host: pathlib.Path) -> None:
    """Lines that rsyslog writes to a file too are counted once: one source speaks."""
    add_journal(host)
    (host / "var/log/auth.log").touch()
    assert [type(source) for source in choose_sources(host)] == [JournaldSourceConfig]


def test_the_file_is_read_where_there_is_no_journal(host: pathlib.Path) -> None:
    """Without a system journal the auth log is read."""
    (host / "var/log/auth.log").touch()
    source = choose_sources(host)[0]
    assert isinstance(source, FileSourceConfig)
    assert source.paths == [str(host / "var/log/auth.log")]


def test_nothing_to_read_is_said(host: pathlib.Path) -> None:
    """Neither journal nor file: the message names both and the remedy, and no store is left."""
    store = StoreConfig(path=str(host / "events.db"))
    with pytest.raises(NoSources, match="systemd-journal"):
        Exporter(Config(host="h", store=store, exporter=ExporterConfig(host_root=str(host))))
    assert not (host / "events.db").exists()
