"""Privacy: a typed password becomes no lasting record, and what is masked still fits together."""

import ipaddress
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.core.config.schema import Config, FileSourceConfig, PrivacyConfig, StoreConfig
from heptad.core.event import Event
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.app import Exporter
from heptad.exporter.log_record import Provenance
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.line_result import LineResult
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.privacy import (
    KEY_BYTES,
    Privacy,
    load_key,
    load_well_known_names,
    make_privacy,
)
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.normalize.unknown_users import UnknownUsers
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from heptad.exporter.pipeline import Pipeline
from heptad.exporter.running_source import RunningSource
from tests.support import needs
from tests.support.effort import tries
from tests.support.feed import NOW, Feed, line
from tests.support.rulebook import RULEBOOK

KEY = bytes(range(KEY_BYTES))
SECRET = "zq7#"
"""Stands in every typed name, and nowhere else."""


def privacy(**choices: str) -> Privacy:
    """What masks by a fixed key."""
    return Privacy(PrivacyConfig(**choices), KEY)  # type: ignore[arg-type]


def event_of(text: str, mask: Privacy | None, program: str = "sshd") -> Event:
    """The event of one message."""
    header = HeaderParser(TimestampParser(), Provenance())
    record = header.parse(f"2026-03-01T12:00:00Z gate {program}[7]: {text}")
    assert record is not None
    event = normalize_record(Normalizer(RULEBOOK, "gate", "text", privacy=mask), record)
    assert event is not None
    return event


FROM = "192.0.2.1 port 22"
SSHD = (
    "Invalid user {} from " + FROM,
    "Invalid user {} from 192.0.2.1",
    "input_userauth_request: invalid user {} [preauth]",
    "Postponed keyboard-interactive for invalid user {} from " + FROM + " ssh2 [preauth]",
    "Failed none for invalid user {} from " + FROM + " ssh2",
    "Failed password for invalid user {} from " + FROM + " ssh2",
    "message repeated 3 times: [ Failed password for invalid user {} from " + FROM + " ssh2]",
    "Failed publickey for invalid user {} from " + FROM + " ssh2: RSA SHA256:Zm9vYmFyYmF6cXV4",
    "Failed publickey for invalid user {} from " + FROM + " ssh2: RSA-CERT SHA256:Zm9vYmFy ID x",
    "Failed keyboard-interactive/pam for invalid user {} from " + FROM + " ssh2",
    "error: PAM: User not known to the underlying authentication module for illegal user {} from gate",
    "error: PAM: Authentication failure for illegal user {} from 192.0.2.1",
    "error: maximum authentication attempts exceeded for invalid user {} from "
    + FROM
    + " ssh2 [preauth]",
    "administratively prohibited connection for invalid user {} from " + FROM + " [preauth]",
    "pam_unix(sshd:auth): check pass; user unknown",
    "pam_unix(sshd:auth): check pass; user ({}) unknown",
    "pam_unix(sshd:auth): bad username [{}]",
    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1 ",
    "pam_faillock(sshd:auth): User unknown: {}",
    "pam_sss(sshd:account): Access denied for user {}: 10 (User not known to the underlying authentication module)",
    "pam_succeed_if(sshd:auth): error retrieving information about user {}",
    "pam_unix(sshd:account): could not identify user (from getpwnam({}))",
    "Connection closed by invalid user {} " + FROM + " [preauth]",
    "Connection reset by invalid user {} " + FROM + " [preauth]",
    "Disconnected from invalid user {} " + FROM + " [preauth]",
    "Disconnecting invalid user {} " + FROM + ": Too many authentication failures [preauth]",
    "Disconnecting invalid user {} "
    + FROM
    + ": Change of username or service not allowed: ({},a) -> (b,c) [preauth]",
    "ssh_dispatch_run_fatal: Connection from invalid user {} "
    + FROM
    + ": message authentication code incorrect [preauth]",
    "Connection from invalid user {} " + FROM + " timed out [preauth]",
    "Unable to negotiate with invalid user {} "
    + FROM
    + ": no matching host key type found. Their offer: x [preauth]",
    "Connection closed by 192.0.2.1 port 22 [preauth]",
    "fatal: Timeout before authentication for 192.0.2.1 port 22",
    "Failed password for invalid user {}",  # as if the line were cut
    "Something new about invalid user {}",
)
LINES = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(SSHD)), min_size=1, max_size=12)
TYPED = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=300),
    st.sampled_from(
        (
            " from 192.0.2.9 port 1 ssh2",
            "x from 192.0.2.9 port 1 ssh2: RSA-CERT SHA256:Zm9vYmFy",
            'a"b\\c,user="root"',
            "invalid user root",
            " port 1: x",
            "] rhost=192.0.2.3 user=",
            "X" * 1500,
        )
    ),
)


def everything_in(path: Path) -> str:
    """Every value of every table of a store, read past Heptad's own code."""
    db = sqlite3.connect(path)
    try:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        rows = [row for t in tables for row in db.execute(f"SELECT * FROM {t}")]  # noqa: S608 - its own tables
    finally:
        db.close()
    values = [value for row in rows for value in row]
    return "\n".join(
        value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        for value in values
    )


@settings(max_examples=tries(60), deadline=None)
@given(
    lines=LINES,
    before=TYPED,
    behind=TYPED,
    choice=st.sampled_from(("hash", "drop")),
    cut=st.integers(0, 12),
)
def test_no_typed_name_stays(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[int, str]],
    before: str,
    behind: str,
    choice: str,
    cut: int,
) -> None:
    """Whatever is typed, no name of no account is in the store: rows, state, over a restart."""
    path = tmp_path_factory.mktemp("store") / "events.db"
    typed = [
        line("12:00:00", pid, text.replace("{}", f"{before}{SECRET}{behind}"))
        for pid, text in lines
    ]
    parts = [typed[:cut], typed[cut:]]
    mask = privacy(unknown_users=choice)
    for known in (1, 2):
        with LocalStore(path, write=True) as store:
            feed = Feed([*parts[:known]], "feed")
            running = RunningSource(feed, Normalizer(RULEBOOK, "host", "feed", privacy=mask))
            pipeline = Pipeline(store, [running], ExporterMetrics({}, []), "host", lambda: NOW)
            pipeline.restore()
            while pipeline.step(threading.Event()):
                pass
            pipeline.close(threading.Event())
    assert SECRET not in everything_in(path)


@settings(max_examples=tries(40), deadline=None)
@given(lines=LINES, name=st.sampled_from(("bob", "root", "zq7")))
def test_masking_changes_no_count(lines: list[tuple[int, str]], name: str) -> None:
    """How logins are counted does not depend on what is kept of the names."""
    header = HeaderParser(TimestampParser(), Provenance())
    records, _ = header.parse_text(
        "\n".join(line("12:00:00", p, t.replace("{}", name)) for p, t in lines)
    )
    told = []
    for choice in ("keep", "hash", "drop"):
        normalizer = Normalizer(RULEBOOK, "g", "s", privacy=privacy(unknown_users=choice))
        events = [normalize_record(normalizer, record) for record in records]
        told.append([e and (e.labels, e.reason, e.count, e.source_ip) for e in events])
    assert told[0] == told[1] == told[2]


def test_a_hash_is_the_same_and_recognised() -> None:
    """The same name has the same short hash in every line, another name another, and no raw line."""
    mask = privacy()
    invalid = event_of("Invalid user hunter2 from 192.0.2.1", mask)
    failed = event_of("Failed password for invalid user hunter2 from 192.0.2.1 port 22 ssh2", mask)
    other = event_of("Invalid user hunter3 from 192.0.2.1", mask)
    assert invalid.user is not None
    assert len(invalid.user) == 13
    assert invalid.user.startswith("~")
    assert failed.user == invalid.user != other.user
    assert (invalid.raw, failed.raw) == ("", "")
    assert failed.source_ip == "192.0.2.1"
    anew = event_of(
        "Invalid user hunter2 from 192.0.2.1", Privacy(PrivacyConfig(), bytes(KEY_BYTES))
    )
    assert anew.user != invalid.user


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("Invalid user Admin from 192.0.2.1", "Admin"),
        ("Failed password for invalid user oracle from 192.0.2.1 port 22 ssh2", "oracle"),
        ("Invalid user  from 192.0.2.1", ""),
        ("Failed password for hunter2 from 192.0.2.1 port 22 ssh2", "hunter2"),
        ("Connection closed by authenticating user hunter2 192.0.2.1 port 22 [preauth]", "hunter2"),
        ("Disconnected from user invalid 192.0.2.1 port 22", "invalid"),
    ],
)
def test_known_names_and_accounts_are_kept(text: str, user: str) -> None:
    """Names that everybody tries, and names of accounts, are kept with their lines."""
    event = event_of(text, privacy())
    assert event.user == user
    assert event.raw.endswith(text)


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("dropbear", "login attempt for nonexistent user 'hunter2' from 192.0.2.7:50022"),
        ("login", "FAILED LOGIN 1 FROM tty1 FOR hunter2, User not known to the underlying authentication module"),
        ("login", "TOO MANY LOGIN TRIES (4) FROM tty1 FOR hunter2, User not known to the underlying authentication module"),
        ("login", "Cannot find user (hunter2)"),
        ("su", "No passwd entry for user 'hunter2'"),
        ("sudo", "ann : unknown user hunter2 ; TTY=pts/0 ; PWD=/ ; USER=hunter2 ; "),
        ("chpasswd", 'pam_unix(chpasswd:chauthtok): user "hunter2" does not exist in /etc/passwd'),
        ("vsftpd", "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=hunter2 rhost=192.0.2.7 "),
        ("sshd", "pam_krb5(sshd:auth): authentication fails for 'hunter2' (x): User not known to the underlying authentication module (x)"),
    ],
)  # fmt: skip
def test_other_programs(program: str, text: str) -> None:
    """What other daemons say of names that are no account's is masked too, also in what is raw."""
    assert "hunter2" in str(event_of(text, None, program))
    for choice in ("hash", "drop"):
        assert "hunter2" not in str(event_of(text, privacy(unknown_users=choice), program))


@pytest.mark.parametrize(
    "command",
    ["/bin/echo invalid user ", "/bin/echo User not known to the underlying authentication module"],
)
def test_nobody_hides_behind_the_words(command: str) -> None:
    """Who quotes what daemons say of unknown names is neither masked nor rid of the line."""
    text = f"ann : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={command}"
    event = event_of(text, privacy(), "sudo")
    assert (event.user, event.object) == ("ann", command)
    assert event.raw.endswith(text)


def test_drop_leaves_no_user() -> None:
    """With drop an event names no user where the name is no account's, and the others as ever."""
    mask = privacy(unknown_users="drop")
    assert event_of("Invalid user root from 192.0.2.1", mask).user is None
    assert event_of("Failed password for root from 192.0.2.1 port 22 ssh2", mask).user == "root"


@pytest.mark.parametrize(
    ("program", "text", "object"),
    [
        ("sudo", "ann : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/mysql -psecret", "/usr/bin/mysql"),
        ("sudo", "eve : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id -secret", "/usr/bin/id"),
        ("sudo", "ann : (command continued) secret ; USER=root ; COMMAND=/bin/sh secret", None),
        ("sudo", "ann : user not allowed to change root directory to /tmp ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=secret", None),
        ("pkexec", "alice: Executing command [USER=root] [TTY=unknown] [CWD=/] [COMMAND=/usr/bin/id secret]", "/usr/bin/id"),
        ("CRON", "(root) CMD (   cd / && curl secret)", "cd"),
        ("CRON", "(root) CMD (TOKEN=secret curl x)", "TOKEN="),
    ],
)  # fmt: skip
def test_commands_without_arguments(program: str, text: str, object: str | None) -> None:
    """With commands: program the program is kept, its arguments are nowhere."""
    event = event_of(text, privacy(unknown_users="keep", commands="program"), program)
    assert event.object == object
    assert "secret" not in str(event)


V4, V6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
MASK = privacy(addresses="pseudonym")


def pseudonym(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    """The pseudonym in an event from an address."""
    event = event_of(f"Invalid user root from {address} port 22", MASK)
    assert event.source_ip is not None
    assert event.raw == ""
    return ipaddress.ip_address(event.source_ip)  # type: ignore[return-value]


def common_bits(one: int, other: int, width: int) -> int:
    """How many leading bits are the same."""
    return width - (one ^ other).bit_length()


@pytest.mark.parametrize(("addresses", "width"), [(V4, 32), (V6, 128)])
def test_pseudonyms_keep_networks(
    addresses: st.SearchStrategy[ipaddress.IPv4Address], width: int
) -> None:
    """Two addresses share as many leading bits as their pseudonyms, so no two become one."""

    @settings(max_examples=tries(60), deadline=None)
    @given(addresses, st.integers(0, width), st.integers(0, 2**128))
    def check(one: ipaddress.IPv4Address, shared: int, noise: int) -> None:
        tail = width - shared
        other = type(one)(int(one) >> tail << tail | noise & (1 << tail) - 1)
        if getattr(one, "ipv4_mapped", None) or getattr(other, "ipv4_mapped", None):
            return
        shown = int(pseudonym(one)), int(pseudonym(other))
        assert common_bits(*shown, width) == common_bits(int(one), int(other), width)

    check()


def test_pseudonyms_hide_and_stay() -> None:
    """An address is another by its pseudonym, the same with the same key; loopback is itself."""
    shown = [str(pseudonym(ipaddress.ip_address(a))) for a in ("192.0.2.1", "2001:db8::7")]
    assert "192.0.2.1" not in shown
    assert "2001:db8::7" not in shown
    anew = privacy(addresses="pseudonym")
    assert event_of("Invalid user root from 192.0.2.1 port 22", anew).source_ip == shown[0]
    for here in ("127.0.0.1", "127.8.9.10", "::1"):
        assert str(pseudonym(ipaddress.ip_address(here))) == here


def test_pseudonyms_reach_names_and_objects() -> None:
    """Host names are hashed, and addresses in what a forwarding asks for are pseudonyms."""
    named = event_of("error: PAM: Authentication failure for ann from gate.example.org", MASK)
    assert named.source_domain is not None
    assert named.source_domain.startswith("~")
    asked = "Received request to connect to host 198.51.100.9 port 25, but the request was denied."
    event = event_of(asked, MASK)
    assert "198.51.100.9" not in str(event)
    assert event.object is not None
    assert event.object.startswith("host ")
    assert event.object.endswith(" port 25")


def test_lines_not_understood() -> None:
    """A line that no rule understood is kept only where it cannot tell what is masked."""
    new = "Something new of ann from 192.0.2.1"
    assert privacy().keep_line(new) == new
    assert privacy().keep_line("Something new of invalid user x") is None
    assert privacy(unknown_users="keep").keep_line("invalid user x") == "invalid user x"
    assert privacy(commands="program").keep_line(new) is None
    assert privacy(addresses="pseudonym").keep_line(new) is None


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """The first start makes a key for this account alone, and every later one finds it."""
    path = tmp_path / "events.db.key"
    path.with_name("events.db.key.new").write_bytes(b"cut off")
    key = load_key(path)
    assert len(key) == KEY_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == key
    assert [entry.name for entry in tmp_path.iterdir()] == ["events.db.key"]
    assert load_key(tmp_path / "other.key") != key


def test_a_key_that_cannot_be_used(tmp_path: Path) -> None:
    """A key that others may read, that is cut, or that is no file: told with the remedy, not shown."""
    path = tmp_path / "key"
    path.write_bytes(SECRET.encode() * 8)
    path.chmod(0o640)
    with pytest.raises(StoreError, match=r"other accounts may read .* chmod 600") as error:
        load_key(path)
    assert SECRET not in str(error.value)
    for wrong in (b"", b"x" * (KEY_BYTES - 1), b"x" * (KEY_BYTES + 1)):
        path.write_bytes(wrong)
        path.chmod(0o600)
        with pytest.raises(StoreError, match="is not a key of 32 bytes"):
            load_key(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="cannot read the key"):
        load_key(path)


def test_a_key_of_another_account(tmp_path: Path) -> None:
    """A key that may not be read is an error with the remedy."""
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0)
    own = os.geteuid()
    if own == 0:
        os.seteuid(65_534)  # root reads every file
    try:
        with pytest.raises(StoreError, match="run Heptad as the account that created it"):
            load_key(path)
    finally:
        os.seteuid(own)


def test_no_key_where_none_is_needed(tmp_path: Path) -> None:
    """Where nothing is hashed no key is made, and where all is kept nothing is masked."""
    store = tmp_path / "events.db"
    assert make_privacy(PrivacyConfig(unknown_users="keep"), store) is None
    assert make_privacy(PrivacyConfig(unknown_users="drop"), store) is not None
    assert list(tmp_path.iterdir()) == []


def test_the_exporter_hashes_by_default(tmp_path: Path) -> None:
    """Without any configuration of privacy a typed password is not in the store, over two starts."""
    log, path = tmp_path / "auth.log", tmp_path / "events.db"
    source = FileSourceConfig(name="auth", paths=[str(log)])
    config = Config(host="gate", store=StoreConfig(path=str(path)), sources=[source])
    shown = []
    for stamp in ("12:00:00", "12:00:01"):
        with log.open("a") as file:
            file.write(line(stamp, 1, "Invalid user hunter2 from 192.0.2.1 port 22") + "\n")
        Exporter(config, once=True, serve=False).run(threading.Event())
        with LocalStore(path) as store:
            shown = [point.fields["user"] for point in store.read("events", 0, 2**62)]
    assert "hunter2" not in everything_in(path)
    assert len(shown) == 2
    assert len(set(shown)) == 1


def test_the_list_of_well_known_names() -> None:
    """The shipped names are lower case, each once, without blanks."""
    names = load_well_known_names()
    assert {"root", "admin", "oracle", "postgres", "pi", "ubuntu"} <= names
    assert all(name == name.lower().strip() and " " not in name for name in names)


LOGIN = (
    "pam_unix(login:auth): check pass; user unknown",
    "pam_unix(login:auth): authentication failure; logname=LOGIN uid=0 euid=0 tty=/dev/tty1 ruser= rhost= ",
    "FAILED LOGIN 1 FROM tty1 FOR hunter2, Authentication failure",
)
ANN = (
    "pam_unix(login:auth): authentication failure; logname=LOGIN uid=0 euid=0 tty=/dev/tty1 ruser= rhost=  user=ann",
    "FAILED LOGIN 2 FROM tty1 FOR ann, Authentication failure",
)
SSS = "pam_sss(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1 user={}"


def users_of(messages: list[tuple[int, str, str]], mask: Privacy) -> list[str | None]:
    """The users of the events of (process id, program, message), each told to a new interpreter."""
    header = HeaderParser(TimestampParser(), Provenance())
    normalizer = Normalizer(RULEBOOK, "gate", "text", privacy=mask)
    events = []
    for number, (pid, program, text) in enumerate(messages):
        fresh = Normalizer(RULEBOOK, "gate", "text", privacy=mask)
        fresh.masking.unknown_users.restore(normalizer.masking.unknown_users.dump())
        normalizer = fresh
        record = header.parse(f"2026-03-01T12:{number:02}:00Z gate {program}[{pid}]: {text}")
        assert record is not None
        events.append(normalize_record(normalizer, record))
    return [event.user for event in events if event is not None]


def test_a_console_login_that_only_pam_calls_unknown() -> None:
    """Where PAM says that no account was meant and login tells the name, the name is masked."""
    mask = privacy()
    told = users_of([(1, "login", text) for text in (*LOGIN, *ANN)], mask)
    assert told[0] is None
    assert told[1] is not None
    assert told[1].startswith("~")
    assert told[2:] == ["ann", "ann"]
    assert (
        users_of([(1, "login", text) for text in LOGIN], privacy(unknown_users="drop"))
        == [None] * 2
    )
    header = HeaderParser(TimestampParser(), Provenance())
    normalizer = Normalizer(RULEBOOK, "gate", "text", privacy=mask)
    for text in LOGIN:
        record = header.parse(f"2026-03-01T12:00:00Z gate login[1]: {text}")
        assert record is not None
        event = normalize_record(normalizer, record)
        assert "hunter2" not in str(event)


def test_directories_that_do_not_say_that_nobody_is_meant() -> None:
    """What pam_sss tells after pam_unix knew nobody is masked in that process and in no other."""
    unknown = "pam_unix(sshd:auth): check pass; user unknown"
    told = users_of(
        [(1, "sshd", unknown), (2, "sshd", SSS.format("ann")), (1, "sshd", SSS.format("hunter2"))],
        privacy(),
    )
    assert told[0] == "ann"
    assert told[1] is not None
    assert told[1].startswith("~")
    opened = "pam_unix(sshd:session): session opened for user ann(uid=1) by (uid=0)"
    again = [(1, "sshd", unknown), (1, "sshd", opened), (1, "sshd", SSS.format("ann"))]
    assert users_of(again, privacy()) == ["ann", "ann"]


SLIP = "S3cret"
SAID = {
    "sshd": f"Invalid user {SLIP} from 192.0.2.1 port 50022",
    "dropbear": "Login attempt for nonexistent user from 192.0.2.1:50022",
}
TOLD = (
    SSS.format(SLIP),
    f"pam_sss(sshd:account): Access denied for user {SLIP}: 6 (Permission denied)",
    f"pam_listfile(sshd:auth): Refused user {SLIP} for service sshd",
    f"pam_winbind(sshd:auth): user '{SLIP}' denied access (incorrect password)",
    f"pam_ldap(sshd:auth): Authentication failure; user={SLIP}",
    f"pam_krb5(sshd:auth): authentication failure; logname={SLIP} uid=0 euid=0 tty=ssh ruser= rhost=",
    f"pam_access(sshd:account): access denied for user `{SLIP}' from `192.0.2.1'",
    f"pam_tally2(sshd:auth): user {SLIP} (1000) tally 4, deny 3",
    f'pam_succeed_if(sshd:auth): requirement "uid >= 1000" not met by user "{SLIP}"',
    f"pam_google_authenticator(sshd:auth): Invalid verification code for {SLIP}",
    f"pam_time(sshd:account): user {SLIP} rejected",
    f"Failed Duo login for '{SLIP}' from 192.0.2.1: Access denied",
)


def tell(lines: list[str], mask: Privacy) -> tuple[list[Event], list[str]]:
    """The events of the lines of a log, and what is kept of those that are not understood."""
    header = HeaderParser(TimestampParser(), Provenance())
    normalizer = Normalizer(RULEBOOK, "gate", "text", privacy=mask)
    events, kept = list[Event](), list[str]()
    for told in lines:
        record = header.parse(f"2026-03-01T12:00:00Z gate {told}")
        assert record is not None
        event = normalize_record(normalizer, record)
        if event is not None:
            events.append(event)
        elif normalizer.classify(record) is LineResult.NOT_UNDERSTOOD:
            kept += filter(None, [normalizer.masking.keep_record(record.app_name, record)])
    return events, kept


@pytest.mark.parametrize("choice", ["hash", "drop"])
@pytest.mark.parametrize("daemon", sorted(SAID))
@pytest.mark.parametrize("text", TOLD)
def test_what_pam_tells_of_a_name_that_the_daemon_called_nobodys(
    daemon: str, text: str, choice: str
) -> None:
    """A password typed as a name stands in no event, whichever module repeats it in the process."""
    lines = [f"{daemon}[7]: {SAID[daemon]}", f"{daemon}[7]: {text}"]
    events, _ = tell(lines, privacy(unknown_users=choice))
    assert len(events) == 2
    assert SLIP not in str(events)
    assert SLIP in str(tell(lines, privacy(unknown_users="keep"))[0])


@pytest.mark.parametrize("text", [text for text in TOLD if "krb5" not in text])
def test_pam_in_a_process_of_its_own(text: str) -> None:
    """Where sshd asks PAM in another process, the name is known for ten minutes on that host."""
    said = f"sshd[7]: {SAID['sshd']}"
    events, _ = tell([said, f"sshd[8]: {text}"], privacy())
    assert SLIP not in str(events)
    ann = text.replace(SLIP, "ann")
    assert tell([said, f"sshd[8]: {ann}"], privacy())[0][-1].user == "ann"


def test_a_line_that_no_rule_understands_of_such_a_process() -> None:
    """It may repeat the name in words that nobody knows: it is counted and not kept."""
    new = f"pam_new(sshd:auth): something of {SLIP}"
    said = f"sshd[7]: {SAID['sshd']}"
    assert tell([said, f"sshd[7]: {new}"], privacy())[1] == []
    assert SLIP in str(tell([said, f"sshd[9]: {new}"], privacy())[1])
    assert SLIP in str(tell([said, f"sshd[7]: {new}"], privacy(unknown_users="keep"))[1])


def test_names_called_nobodys_are_bounded() -> None:
    """However many names are asked for, 256 are remembered, none for long, and none is stored."""
    unknown_users = UnknownUsers()
    empty = unknown_users.dump()
    for number in range(3000):
        unknown_users.learn("gate", f"name{number}", number)
    assert unknown_users.dump() == empty
    assert not unknown_users.knows("gate", "name2700", 3000)
    assert unknown_users.knows("gate", "name2999", 3000)
    assert not unknown_users.knows("web", "name2999", 3000)
    assert not unknown_users.knows("gate", "name2999", 3000 + 601 * 10**9)


def test_strangers_are_bounded() -> None:
    """However many processes ask for nobody, 256 are remembered, and none for long."""
    unknown_users = UnknownUsers()
    for pid in range(3000):
        unknown_users.hear("nobody", f"gate login {pid}", "", pid)
    assert len(unknown_users.dump()) < 10_000
    assert not unknown_users.hear("asks", "gate login 2700", "", 3000)
    assert unknown_users.hear("asks", "gate login 2999", "", 3000)
    assert not unknown_users.hear("asks", "gate login 2999", "", 3000 + 601 * 10**9)
    assert not unknown_users.hear("asks", "gate login 2999", "", 3000)


def test_a_key_that_another_account_made(tmp_path: Path) -> None:
    """Who made the key knows it: one that neither root, nor this account, nor the folder's made."""
    needs.root()
    path = tmp_path / "events.db.key"
    load_key(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(StoreError, match="belongs to another account"):
        load_key(path)
    os.chown(tmp_path, 12345, 12345)  # root reads the store of a service's account
    assert len(load_key(path)) == KEY_BYTES


def test_a_key_that_another_account_points_to(tmp_path: Path) -> None:
    """A link of another account's is not followed, one of this account's is."""
    needs.root()
    path, target = tmp_path / "events.db.key", tmp_path / "key"
    key = load_key(target)
    path.symlink_to(target)
    assert load_key(path) == key
    os.chown(path, 12345, 12345, follow_symlinks=False)
    with pytest.raises(StoreError, match="symbolic link of another account"):
        load_key(path)


def test_a_key_that_is_no_file(tmp_path: Path) -> None:
    """A FIFO in its place is refused, and not waited for."""
    path = tmp_path / "events.db.key"
    os.mkfifo(path, 0o600)
    with pytest.raises(StoreError, match="not a regular file"):
        load_key(path)
