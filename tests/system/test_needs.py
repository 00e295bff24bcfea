"""A test that lacks a program skips and says why; in CI it fails."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import needs


def build_influxdb() -> object:
    """As the first test does that needs it; without what is remembered."""
    return needs.built.__wrapped__("influxd-2.7.12")


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([], "go is not installed, which builds influxd-2.7.12"),
        (["go"], "cargo is not installed, which builds influxd-2.7.12"),
        (["go", "cargo"], "(?s)build influxd-2.7.12 failed: .*no module here"),
    ],
)
def test_a_server_that_cannot_be_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tools: list[str], words: str, ci: str
) -> None:
    """Without Go or Rust, and where the build fails, as it does without a network."""
    for name in tools:
        (tmp_path / name).write_text("#!/bin/sh\necho no module here >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    system = ":/usr/bin:/bin" if tools == ["go", "cargo"] else ""
    monkeypatch.setenv("PATH", f"{tmp_path}{system}")
    expect(build_influxdb, words, ci)


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_program_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    """Its Debian package is named."""
    monkeypatch.setenv("CI", ci)
    name = "no-such-program"
    monkeypatch.setitem(needs.PACKAGES, name, "its-package")
    words = r"no-such-program is not installed \(Debian: its-package\)"
    expect(lambda: needs.program(name), words, ci)


def expect(ask: Callable[[], object], words: str, ci: str) -> None:
    """It is a failure in CI, and a skip elsewhere, with these words."""
    outcome = pytest.fail.Exception if ci else pytest.skip.Exception
    with pytest.raises(outcome, match=words) as raised:
        ask()
    assert ("CI has to run every test" in str(raised.value)) == bool(ci)
