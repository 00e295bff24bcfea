"""Files of which no line has a header: `heptad parse` says what they look like."""

from pathlib import Path

import pytest

from heptad.cli.main import main


@pytest.mark.table
@pytest.mark.parametrize(
    "line, said",
    [
        ('{"__CURSOR":"s=1","MESSAGE":"x"}', "`journalctl --output=json`"),
        ('{ "MESSAGE" : "x" }', "`journalctl --output=json`"),
        ("__CURSOR=s=1;i=2", "`journalctl --output=export`"),
        ("Thu 2026-02-26 06:02:34.1 UTC [s=1;i=2]", "`journalctl --output=verbose`"),
        ("[12345.678901] web-1 sshd[1]: x", "`journalctl --output=short-monotonic`"),
        ("[   12.678901 <    0.000012 >] web-1 sshd[1]: x", "short-delta"),
        ("[    0.000000] Linux version 6.1.0", "dmesg"),
        ("type=USER_LOGIN msg=audit(1772085750.123:7): pid=1", "auditd"),
        ('203.0.113.7 - - [26/Feb/2026:06:02:30 +0000] "GET /"', "web server"),
        ('{"a": 1}', "JSON"),
        ("Accepted password for alice from 203.0.113.7 port 1 ssh2", "`journalctl --output=cat`"),
    ],
)
def test_what_it_looks_like(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output of journalctl is named, and the one to use instead; so are other kinds of logs."""
    path = tmp_path / "x"
    path.write_text(f"{line}\n" * 2)
    assert main(["parse", str(path)]) == 1
    told = capsys.readouterr().err.partition("This looks like")[2]
    assert said in told
    assert ("short-iso-precise" in told) is ("journalctl" in said or "short-delta" in said)


def test_a_log_with_a_strange_line_is_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of a file that has a header anywhere."""
    path = tmp_path / "auth.log"
    path.write_text("strange\nMar  1 10:00:00 web-1 su: x\n{\n")
    assert main(["parse", "--summary", str(path)]) == 0
    assert "header" not in capsys.readouterr().err
