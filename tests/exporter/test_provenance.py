"""Whose lines of the journal are believed: binaries and accounts, wherever a machine keeps them."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heptad.core.config.strict_yaml import DocumentError
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.line_result import LineResult
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.provenance import UserIds
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.parsing.binaries import Binaries, check_path
from heptad.exporter.parsing.rulebook import load_rulebook
from heptad.exporter.settings import load_settings
from tests.support.rulebook import RULEBOOK

WRONG = "Failed password for ann from 192.0.2.7 port 22 ssh2"
RAN = "ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/usr/bin/id"
GRANTED = next(
    rule.rule.examples[0].message
    for rule in RULEBOOK.programs["polkitd"].own_rules
    if not rule.ignore
)
OPENED = "pam_unix(teleport:session): session opened for user ann(uid=1000) by (uid=0)"
ROOT = Provenance(trusted=True, exe="/usr/sbin/sshd", uid=0, transport="syslog")
SETUID = Provenance(trusted=True, exe="/usr/bin/sudo", uid=1000, capable=True, transport="syslog")
PLACES = (
    "/usr/sbin",
    "/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/local/libexec",
    "/usr/local/lib/openssh",
    "/usr/lib/cargo/bin",
    "/usr/libexec",
    "/usr/lib/x86_64-linux-gnu/openssh",
    "/usr/lib64/misc",
    "/nix/store/1b9p07z77phvv2hf6gm9f28syp39f1ag-openssh-9.9p2/bin",
    "/nix/store/1b9p07z77phvv2hf6gm9f28syp39f1ag-openssh-9.9p2/libexec",
    "/gnu/store/1b9p07z77phvv2hf6gm9f28syp39f1ag-openssh-9.9p2/sbin",
    "/run/wrappers/wrappers.Zm9vYmFy",
    "/run/setuid-programs",
    "/run/privileged/bin",
)


def record(tag: str, message: str, provenance: Provenance) -> LogRecord:
    """A record as the journal hands it over."""
    return LogRecord(10**18, None, tag, "7", message, f"{tag}[7]: {message}", 1, provenance)


def understand(tag: str, message: str, provenance: Provenance, **more: object) -> LineResult:
    """What becomes of a record."""
    normalizer = Normalizer(RULEBOOK, "gate", "journal", **more)  # type: ignore[arg-type]
    understood = normalizer.classify(record(tag, message, provenance))
    return understood if isinstance(understood, LineResult) else LineResult.EVENT


def altered(provenance: Provenance, **fields: object) -> Provenance:
    """An origin with other fields."""
    return msgspec.structs.replace(provenance, **fields)


@pytest.mark.parametrize("place", PLACES)
def test_other_places_of_a_program(place: str) -> None:
    """A program is believed in every folder of the system, and never without root's rights."""
    for tag, message, name, provenance in (
        ("sshd", WRONG, "sshd", ROOT),
        ("sshd-session", WRONG, "sshd-session", ROOT),
        ("sudo", RAN, "sudo", SETUID),
        ("sudo", RAN, ".sudo-wrapped", SETUID),
    ):
        moved = altered(provenance, exe=f"{place}/{name}")
        assert understand(tag, message, moved) is LineResult.EVENT
        for weak in (altered(moved, uid=1000, capable=False), altered(moved, uid=None)):
            if not weak.capable:
                assert understand(tag, message, weak) is LineResult.UNTRUSTED
        other = altered(provenance, exe=f"{place}/logger")
        assert understand(tag, message, other) is LineResult.UNTRUSTED
    # in a user namespace everybody has capabilities: they are of setuid programs only
    forged = altered(ROOT, exe=f"{place}/sshd", uid=1000, capable=True)
    assert understand("sshd", WRONG, forged) is LineResult.UNTRUSTED


@pytest.mark.parametrize(
    "exe",
    [
        "/home/ann/bin/sudo",
        "/tmp/nix/store/x/bin/sudo",
        "/usr/local/../../tmp/sudo",
        "/usr/bin/../../home/ann/sudo",
        "/opt/sudo",
        "sudo",
        "/sudo",
        "/usr/bin//sudo",
        "/nix/store/sudo",
        "/run/wrappers/sudo",
        "/usr/bin/sudo/x",
        "/usr/sudo",
        "/usr/bin/sub/sudo",
        "/usr/bin/sudo\n",
    ],
)
def test_no_place_of_the_system(exe: str) -> None:
    """What lies elsewhere is not believed, however its path is written."""
    assert understand("sudo", RAN, altered(SETUID, exe=exe)) is LineResult.UNTRUSTED


@pytest.mark.parametrize(
    "path",
    [
        "/opt/openssh/sbin/sshd",
        "/opt/*/sbin/sshd",
        "/opt/openssh-?.?/sbin/sshd",
        "/nix/store/*-openssh-*/libexec/sshd-session",
        "/run/wrappers/wrappers.*/sudo",
        "/opt/**/sshd",
        "/home2/x/sshd",
        "/homes",
        "/var/lib/tmp/sshd",
    ],
)
def test_paths_that_may_be_trusted(path: str) -> None:
    """Paths and patterns where only root installs programs."""
    assert check_path(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann/sshd",
        "/h*me/ann/sshd",
        "/????/ann/sshd",
        "/**",
        "/**/sshd",
        "/*/x",
        "/*/*/sshd",
        "/*/tmp/sshd",
        "/./tmp/sshd",
        "//tmp/sshd",
        "/usr/../tmp/sshd",
        "/var/t*/sshd",
        "/var/**/sshd",
        "/dev/*/sshd",
        "/dev/shm/*",
        "/d**/x/sshd",
        "/h**/sshd",
        "/[h]ome/ann/sshd",
        "/{home,opt}/sshd",
        "/\\home/ann/sshd",
        "/run/user/1000/sshd",
        "/run/*/*/sshd",
        "/var/home/ann/sshd",
        "/opt/",
        "/opt/**",
        "/opt/**/x/**/sshd",
        "opt/sshd",
        "~/sshd",
        "",
        "/",
        "/tmp",
        "/opt/ss\nhd",
        "/" + "x" * 2000,
    ],
)
def test_paths_that_may_not(path: str) -> None:
    """What may match below folders of users, or is no path, is refused in every spelling."""
    assert check_path(path) is not None


NAMES = st.text(st.sampled_from("hometpvarsdux*?."), min_size=1, max_size=6) | st.sampled_from(
    ["home", "tmp", "var", "dev", "shm", "**", "*", "run", "user"]
)
OPEN = ("/home", "/tmp", "/var/tmp", "/dev/shm", "/run/user")


@given(st.lists(NAMES, min_size=1, max_size=5), st.sampled_from(OPEN), st.lists(NAMES, max_size=4))
@example(["**", "x"], "/home", ["x"])
def test_no_pattern_reaches_a_users_folder(
    pattern: list[str], folder: str, below: list[str]
) -> None:
    """A pattern that is not refused matches nothing below these folders."""
    path = "/" + "/".join(pattern)
    below = [name for name in below if not set(name) & set("*?")] or ["x"]
    if check_path(path) is None:
        exe = f"{folder}/{'/'.join(below)}"
        assert exe not in Binaries([], [path])


def test_patterns() -> None:
    """`*` and `?` stay within a name, `**` does not; everything else stands for itself."""
    found = Binaries([], ["/opt/*-ssh/sshd", "/srv/**/su?o", "/opt/a.b/sshd"])
    for exe in ("/opt/x-ssh/sshd", "/srv/sudo", "/srv/a/b/suso", "/opt/a.b/sshd"):
        assert exe in found
    for exe in ("/opt/x/y-ssh/sshd", "/srv/a/sushi/o", "/opt/axb/sshd", "/opt/x-ssh/sshd\n"):
        assert exe not in found


CONFIG = """
trust:
  - {program: sshd, exe: [/opt/openssh/*/sshd]}
  - {program: sudo, exe: [/opt/sudo/bin/sudo]}
  - {program: polkitd, exe: [/opt/polkitd], runs_as: [daemon]}
"""


def test_more_is_trusted(tmp_path: Path) -> None:
    """A setting adds paths and accounts to a program, and nothing else."""
    file = tmp_path / "heptad.yaml"
    file.write_text(CONFIG)
    normalizer = Normalizer(load_settings(file).rulebook, "gate", "journal")

    def becomes(tag: str, message: str, provenance: Provenance) -> LineResult:
        understood = normalizer.classify(record(tag, message, provenance))
        return understood if isinstance(understood, LineResult) else LineResult.EVENT

    there = altered(ROOT, exe="/opt/openssh/9/sshd")
    assert becomes("sshd", WRONG, ROOT) is LineResult.EVENT
    assert becomes("sshd", WRONG, there) is LineResult.EVENT
    assert becomes("sshd", WRONG, altered(there, uid=1000)) is LineResult.UNTRUSTED
    assert becomes("sshd", WRONG, altered(there, uid=1000, capable=True)) is LineResult.UNTRUSTED
    assert (
        becomes("sshd", WRONG, altered(there, exe="/opt/openssh/9/x/sshd")) is LineResult.UNTRUSTED
    )
    assert becomes("su", WRONG, there) is LineResult.UNTRUSTED
    sudo = altered(SETUID, exe="/opt/sudo/bin/sudo")
    assert becomes("sudo", RAN, sudo) is LineResult.EVENT
    assert becomes("sudo", RAN, altered(sudo, capable=False)) is LineResult.UNTRUSTED
    daemon = altered(ROOT, exe="/opt/polkitd", uid=1)
    assert becomes("polkitd", GRANTED, daemon) is LineResult.EVENT
    assert becomes("polkitd", GRANTED, altered(daemon, uid=2)) is LineResult.UNTRUSTED


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{program: sshd, exe: [/home/ann/sshd]}", "ordinary users can write"),
        ("{program: sshd, exe: ['/**/sshd']}", "ordinary users can write"),
        ("{program: ssshd}", "no rules for `ssshd`"),
        ("{program: sshd, runs_as: ['a b']}", "not an account name"),
    ],
)
def test_what_may_not_be_trusted(tmp_path: Path, text: str, told: str) -> None:
    """A faulty setting is refused with its place."""
    file = tmp_path / "heptad.yaml"
    file.write_text(f"trust:\n  - {text}\n")
    with pytest.raises(DocumentError, match=r"heptad\.yaml:2:") as error:
        load_settings(file)
    assert told in str(error.value)


def test_a_rule_file_may_not_either(tmp_path: Path) -> None:
    """The paths of a user's own rule file are checked in the same way."""
    (tmp_path / "x.yaml").write_text("program: x\nexe: [/tmp/x]\nsetuid: ['/*/x']\nrules: []\n")
    with pytest.raises(DocumentError) as error:
        load_rulebook([tmp_path])
    assert [problem.place for problem in error.value.problems] == ["2:7", "3:10"]


def test_the_accounts_of_another_machine(tmp_path: Path) -> None:
    """Accounts are looked up in the passwd file that is named, root is 0 on every machine."""
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:7:0::/root:/bin/sh\nbad\npolkitd:x:4242:4242::/:/sbin/nologin\n")
    accounts = UserIds(passwd)
    polkitd = altered(ROOT, exe="/usr/lib/polkit-1/polkitd")
    for uid, result in ((4242, LineResult.EVENT), (0, LineResult.EVENT), (7, LineResult.UNTRUSTED)):
        provenance = altered(polkitd, uid=uid)
        assert understand("polkitd", GRANTED, provenance, user_ids=accounts) is result
    assert understand("polkitd", GRANTED, altered(polkitd, uid=4242)) is LineResult.UNTRUSTED


def test_pam_under_any_name() -> None:
    """What PAM says under a name that no rule knows is an event of `pam`, by root's process only."""
    for exe in ("/opt/teleport", "/usr/local/bin/teleport", None):
        assert understand("teleport", OPENED, altered(ROOT, exe=exe)) is LineResult.EVENT
    for forged in (
        altered(ROOT, exe="/usr/bin/logger", uid=1000),
        altered(ROOT, exe="/opt/teleport", uid=1000, capable=True),
        altered(ROOT, exe=None, uid=None),
    ):
        assert understand("teleport", OPENED, forged) is LineResult.UNTRUSTED
    event = normalize_record(
        Normalizer(RULEBOOK, "gate", "journal"), record("teleport", OPENED, ROOT)
    )
    assert event is not None
    assert (event.program, event.action, event.user) == ("pam", "session_open", "ann")
    assert event.raw == f"teleport[7]: {OPENED}"
    assert understand("teleport", "login of ann", ROOT) is LineResult.OTHER_PROGRAM
    assert (
        understand("teleport", "pam_unix(x:auth): something new", ROOT) is LineResult.NOT_UNDERSTOOD
    )


def test_the_end_of_a_users_manager_is_no_session() -> None:
    """`(sd-pam)` says it as the user, at every logout: it is neither refused nor an event."""
    message = "pam_unix(systemd-user:session): session closed for user ann"
    user = msgspec.structs.replace(ROOT, exe="/usr/lib/systemd/systemd-executor", uid=1000)
    for provenance in (
        user,
        msgspec.structs.replace(user, exe="/usr/lib/systemd/systemd"),
        Provenance(),
    ):
        assert understand("(sd-pam)", message, provenance) is LineResult.IGNORED


def test_what_a_log_daemon_writes_to_the_kernels_log_makes_nobody_deaf() -> None:
    """Each machine in a container that starts writes it there; a gap is believed of none."""
    provenance = Provenance(
        trusted=True, exe="/usr/lib/systemd/systemd-journald", uid=0, transport="kernel"
    )
    for message in ("Received client request to flush runtime journal.", "Received SIGTERM"):
        assert understand("systemd-journald", message, provenance) is LineResult.OTHER_PROGRAM
    missed = "Missed 12 kernel messages"
    assert understand("systemd-journald", missed, provenance) is LineResult.UNTRUSTED
    assert understand("sshd", "Received SIGHUP; restarting.", provenance) is LineResult.UNTRUSTED
    elsewhere = msgspec.structs.replace(provenance, exe="/tmp/x", uid=1000, transport="syslog")
    assert understand("systemd-journald", "a line", elsewhere) is LineResult.UNTRUSTED


def test_pam_in_a_file() -> None:
    """From a file it is an event of `pam`, whatever was logged as the name, which is no tag."""
    event = normalize_record(
        Normalizer(RULEBOOK, "gate", "auth"), record("tele port=x", OPENED, Provenance("/log"))
    )
    assert event is not None
    assert (event.program, event.trust) == ("pam", "file")


def test_pam_of_chosen_programs() -> None:
    """A source that reads only some programs reads PAM's lines of those; `pam` can be chosen."""
    for programs, result in (
        ({"sshd"}, LineResult.OTHER_PROGRAM),
        ({"sshd", "pam"}, LineResult.EVENT),
    ):
        assert understand("teleport", OPENED, ROOT, programs=frozenset(programs)) is result
    opened = OPENED.replace("teleport", "sudo")
    chosen = frozenset({"pam"})
    assert understand("sudo", opened, SETUID, programs=chosen) is LineResult.OTHER_PROGRAM
