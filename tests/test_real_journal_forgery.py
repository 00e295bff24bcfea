"""A user forges entries in a real journal: only the programs themselves are believed."""

import subprocess
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from exporter.interpreter import Interpreter, interpret_record
from exporter.parsers.engine import load_rulebook
from exporter.sources.journald import JournaldSource
from heptad.event import Event
from tests import needs
from tests.real import journald
from tests.real.sandbox import Sandbox
from tests.real.sshd import Client, SshServer

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


def act(sandbox: Sandbox) -> None:
    """Do what the real sshd and su tell."""
    with SshServer(sandbox) as server:
        Client(server, REAL).password("ann", "wrong", PASSWORD)
        server.wait_idle()
    sandbox.talk("su", "-c", "sleep 0.2", "bob", user="ann", answers=[("assword", PASSWORD)])


def read(sandbox: Sandbox) -> Told:
    """Read the journal as the exporter does."""
    interpreter = Interpreter(load_rulebook(), "sample-host", "journal")
    source = JournaldSource("journal", ["sshd", "su"], str(sandbox.journal), follow=False)
    source.start(threading.Event())
    told = Told([], [])
    try:
        while batch := source.read():
            for record in batch.records:
                told.lines.append(record[5])
                if event := interpret_record(interpreter, record):
                    told.events.append(event)
    finally:
        source.close()
    return told


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """A journal with forged and real entries."""
    needs.mount_namespace()
    needs.program("gcc", "ip", "journalctl", "logger", "newusers", "nsenter", "setpriv", "unshare")
    needs.program("ssh", "ssh-keygen", "sshd", "su", "systemd-journald")
    with Sandbox() as sandbox:
        sandbox.add_users("ann", "bob", "mallory", password=PASSWORD)
        journald.start(sandbox)
        forge(sandbox)
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
    became = [event for event in told.events if event.action == "privilege"]
    assert [(event.user, event.target_user) for event in became] == [("ann", "bob")]
