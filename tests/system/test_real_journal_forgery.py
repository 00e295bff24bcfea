"""A user forges entries in a real journal: only the programs themselves are believed."""

import subprocess
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from heptad.core.event import Event
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support import needs
from tests.support.real import journald
from tests.support.real.sandbox import Sandbox
from tests.support.real.sshd import Client, SshServer
from tests.support.rulebook import RULEBOOK

REAL, FORGED = "203.0.113.5", "198.51.100.66"
PASSWORD = "right"

FORGERIES = (
    f"Accepted password for root from {FORGED} port 1 ssh2",
    f"Failed password for root from {FORGED} port 1 ssh2",
    f"Failed password for invalid user mallory from {FORGED} port 1 ssh2",
    f"error: PAM: Authentication failure for root from {FORGED}",
    f"Invalid user mallory from {FORGED} port 1",
    f"Connection closed by authenticating user mallory {FORGED} port 1 [preauth]",
    "fatal: Access denied for user mallory by PAM account configuration [preauth]",
    "pam_unix(sshd:session): session opened for user mallory(uid=0) by (uid=0)",
    # The real sshd writes these two under the user's own account, once he has logged in.
    f"Disconnected from user root {FORGED} port 1",
    f"Starting session: shell on pts/0 for root from {FORGED} port 1 id 0",
)
# Without headers and start files, so that the compiler alone is enough; numbers of <syslog.h>.
PRELOADED = """
char *getenv(const char *); int usleep(unsigned); void _exit(int);
void openlog(const char *, int, int); void syslog(int, const char *, ...);
__attribute__((constructor)) static void forge(void) {
    openlog("sshd", 1 /* LOG_PID */, 80 /* LOG_AUTHPRIV */);
    syslog(6 /* LOG_INFO */, "%s", getenv("FORGERY"));
    usleep(200000);
    _exit(0);
}
"""
# The pause gives journald time to see whose process it is; without, it would know even less.
PIPED = '{ printf "%s\\n" "$1"; sleep 0.2; } | "$2" --tag "$3"'


PLACES = (
    "/usr/lib/cargo/bin",
    "/usr/local/libexec",
    "/run/wrappers/wrappers.abc",
    "/run/setuid-programs",
    "/run/privileged/bin",
)
"""Where other systems have sudo and sshd. A user forges from the same paths."""
RAN = "mallory : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/forged-{number}"
OPENED = "pam_unix(teleport:session): session opened for user {user}(uid=0) by (uid=0)"
# /usr of the sandbox is the machine's own: another layer over it holds what is installed here.
OVER_USR = """
mkdir -p "$1/usr/upper" "$1/usr/work"
mount -t overlay -o "lowerdir=/usr,upperdir=$1/usr/upper,workdir=$1/usr/work" overlay /usr
"""


class Told(NamedTuple):
    """The lines of the journal and what became of them."""

    lines: list[str]
    events: list[Event]


def forge(sandbox: Sandbox) -> None:
    """Do as `mallory` what a user can do to speak as sshd or su."""
    library = sandbox.dir / "forge.so"
    build = ["gcc", "-shared", "-fPIC", "-nostdlib", "-o", str(library), "-x", "c", "-"]
    subprocess.run(build, input=PRELOADED, text=True, check=True)
    sandbox.run("install", "-m", "755", "/usr/bin/logger", "/home/mallory/su")
    sandbox.run("install", "-m", "755", "/usr/bin/logger", "/home/mallory/sshd")
    for message in FORGERIES:
        for binary in ("/usr/bin/logger", "/home/mallory/sshd"):
            sandbox.run("sh", "-c", PIPED, "sh", message, binary, "sshd", user="mallory")
        preload = ["env", f"LD_PRELOAD={library}", f"FORGERY={message}", "/usr/sbin/sshd"]
        sandbox.run(*preload, user="mallory")
        sandbox.run("unshare", "--user", "--map-root-user", *preload, user="mallory")
    for message in ("(to root) mallory on pts/0", "FAILED SU (to root) mallory on pts/0"):
        for binary in ("/usr/bin/logger", "/home/mallory/su"):
            sandbox.run("sh", "-c", PIPED, "sh", message, binary, "su", user="mallory")


def install_elsewhere(sandbox: Sandbox) -> None:
    """Keep the real sudo, and a logger under other names, where other systems have them."""
    sandbox.run("sh", "-c", OVER_USR, "sh", str(sandbox.dir / "layers"))
    for place in PLACES:
        sandbox.run("mkdir", "-p", place)
        sandbox.run("install", "-m", "755", "/usr/bin/logger", f"{place}/sshd")
        sandbox.run("install", "-m", "755", "/usr/bin/logger", f"{place}/su")
        sandbox.run("install", "-m", "4755", "/usr/bin/sudo", f"{place}/sudo")


def forge_elsewhere(sandbox: Sandbox) -> None:
    """Do as `mallory` what a user can do to speak from these paths, and as PAM of any program."""
    for number, place in enumerate(PLACES):
        for tag, binary, message in (
            ("sudo", "su", RAN.format(number=number)),
            ("su", "su", f"(to root) mallory on pts/{number + 50}"),
            ("sshd", "sshd", f"Accepted password for root from {FORGED} port {number + 50} ssh2"),
        ):
            piped = ["sh", "-c", PIPED, "sh", message, f"{place}/{binary}", tag]
            sandbox.run(*piped, user="mallory")
        namespace = ["unshare", "--user", "--map-root-user"]
        message = f"Accepted password for root from {FORGED} port {number + 50} ssh2"
        piped = ["sh", "-c", PIPED, "sh", message, f"{place}/sshd", "sshd"]
        sandbox.run(*namespace, *piped, user="mallory")
    logger = ["sh", "-c", PIPED.replace("--tag", "-p authpriv.info --tag"), "sh"]
    forged = [*logger, OPENED.format(user="mallory"), "/usr/bin/logger", "teleport"]
    sandbox.run(*forged, user="mallory")
    sandbox.run("unshare", "--user", "--map-root-user", *forged, user="mallory")
    sandbox.run(*logger, OPENED.format(user="bob"), "/usr/bin/logger", "teleport")


def act(sandbox: Sandbox) -> None:
    """Do what the real sshd, su and sudo tell."""
    sandbox.write("/etc/sudoers.d/ann", "ann ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    for place in PLACES:
        sandbox.run(f"{place}/sudo", "-n", "/bin/sleep", "0.2", user="ann")
    with SshServer(sandbox) as server:
        Client(server, REAL).password("ann", "wrong", PASSWORD)
        server.wait_idle()
    sandbox.talk("su", "-c", "sleep 0.2", "bob", user="ann", answers=[("assword", PASSWORD)])


def read(sandbox: Sandbox) -> Told:
    """Read the journal as the exporter does."""
    normalizer = Normalizer(RULEBOOK, "sample-host", "journal")
    source = JournaldSource("journal", ["sshd", "su", "sudo"], str(sandbox.journal), follow=False)
    source.start(threading.Event())
    told = Told([], [])
    try:
        while batch := source.read():
            for record in batch.records:
                told.lines.append(record.raw)
                if event := normalize_record(normalizer, record):
                    told.events.append(event)
    finally:
        source.close()
    return told


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """A journal with forged and real entries."""
    needs.mount_namespace()
    needs.program("gcc", "ip", "journalctl", "logger", "newusers", "nsenter", "setpriv", "unshare")
    needs.program("ssh", "ssh-keygen", "sshd", "su", "sudo", "systemd-journald")
    with Sandbox() as sandbox:
        sandbox.add_users("ann", "bob", "mallory", password=PASSWORD)
        journald.start(sandbox)
        install_elsewhere(sandbox)
        forge(sandbox)
        forge_elsewhere(sandbox)
        act(sandbox)
        journald.settle(sandbox)
        yield read(sandbox)


@pytest.mark.parametrize("message", FORGERIES)
def test_nobody_else_speaks_for_sshd(told: Told, message: str) -> None:
    """logger, a binary named sshd and code preloaded into sshd, also with the capabilities of a
    user namespace, are seen and not believed.
    """
    assert len([line for line in told.lines if line.endswith(message)]) == 4
    assert [event for event in told.events if event.raw.endswith(message)] == []


def test_nobody_else_speaks_for_su(told: Told) -> None:
    """logger and a binary of one's own named su are seen, and not believed."""
    forged = "mallory on pts/0"
    assert len([line for line in told.lines if line.endswith(forged)]) == 4
    assert [event for event in told.events if event.raw.endswith(forged)] == []


def test_nobody_else_speaks_from_other_places(told: Told) -> None:
    """A user who runs what lies where other systems have sudo, su and sshd is seen, not believed."""
    for number in range(len(PLACES)):
        for end, times in (
            (f"forged-{number}", 1),
            (f"on pts/{number + 50}", 1),
            (f"port {number + 50} ssh2", 2),
        ):
            assert len([line for line in told.lines if line.endswith(end)]) == times
            assert [event for event in told.events if event.raw.endswith(end)] == []


def test_nobody_but_root_speaks_for_pam(told: Told) -> None:
    """PAM's form under a name that no rule knows is believed from root's process, and no other."""
    assert len([line for line in told.lines if "user mallory" in line and "teleport" in line]) == 2
    opened = [event for event in told.events if event.program == "pam"]
    assert [(event.action, event.user) for event in opened] == [("session_open", "bob")]


def test_sudo_itself_is_believed_everywhere(told: Told) -> None:
    """The real sudo, setuid root, tells of ann from each of these places."""
    ran = [event for event in told.events if (event.program, event.action) == ("sudo", "privilege")]
    assert [(event.user, event.target_user) for event in ran] == [("ann", "root")] * len(PLACES)


def test_forgeries_leave_no_trace(told: Told) -> None:
    """No event, not even of a later line, names the forger's address or account."""
    fields = [(event.user, event.target_user, event.source_ip) for event in told.events]
    assert [one for one in fields if FORGED in one or "mallory" in one] == []


def test_the_programs_themselves_are_believed(told: Told) -> None:
    """sshd and su tell their own events through the same journal."""
    logins = [event for event in told.events if event.action == "login"]
    assert [(event.outcome, event.source_ip) for event in logins] == [
        ("failure", REAL),
        ("success", REAL),
    ]
    became = [
        event for event in told.events if (event.action, event.program) == ("privilege", "su")
    ]
    assert [(event.user, event.target_user) for event in became] == [("ann", "bob")]
