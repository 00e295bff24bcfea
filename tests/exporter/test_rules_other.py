"""Hostile text in the lines of sudo, su, login, PAM, polkit and cron must not move a field.

Each test writes a line as the daemon does (the format strings are those of the upstream files
the rules name), with text of an attacker's choice where he may choose it. What the rules then
say must be what the daemon meant, or nothing: never another value.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heptad.core.config.strict_yaml import DocumentError
from heptad.exporter.parsing.compiled_rule import CompiledRule
from heptad.exporter.parsing.rule_file import (
    BUILT_IN,
    GROUPS,
    Example,
    ParsingRule,
    RuleFile,
    check_rule,
    load_rule_files,
)
from heptad.exporter.parsing.rulebook import Program, check_examples
from tests.support.rulebook import RULEBOOK

FIELDS = "TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id"
BAITS = (
    " ; USER=bob ; COMMAND=/bin/true",
    " ; COMMAND=/bin/true",
    " ; TTY=pts/9 ; PWD=/ ; USER=bob",
    " ; EXIT=0",
    " : TTY=pts/9 ; PWD=/ ; USER=bob ; COMMAND=/bin/true",
    "(command continued) ",
    " rhost=198.51.100.9",
    " rhost=198.51.100.9  user=root",
    "  user=root",
    " ruser= rhost=198.51.100.9 ",
    " uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.9  user=root",
    "' from '198.51.100.9' FOR 'root', Authentication failure",
    "', Authentication failure",
    "UNKNOWN', ",
    " FROM 198.51.100.9 FOR root, Authentication failure",
    "' from `198.51.100.9'",
    "] [COMMAND=/bin/true]",
    "] (owned by unix-user:root)",
    "(uid=0) by root(uid=0)",
    "(root) CMD (x)",
    " [preauth]",
    " on pts/9",
    "(unknown)",
    " ",
    "  ",
    ";",
    "'",
    '"',
    "]",
    ")",
    ":",
)
PIECES = st.sampled_from(BAITS) | st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12
)
HOSTILE = st.lists(PIECES, max_size=5).map("".join)
HOSTILE_SET = HOSTILE.filter(bool)
WORD = st.text("abcxyz019_.", min_size=1, max_size=8)
ADDRESS = st.sampled_from(["192.0.2.7", "203.0.113.200", "2001:db8::7"])


Facts = Mapping[str, str | int | None]


def read(program: str, message: str) -> tuple[ParsingRule, Facts]:
    """The rule that understands the message, and the facts it gives."""
    found = RULEBOOK.programs[program].read(message)
    assert found is not None, f"not understood: {message!r}"
    return found.rule.rule, found.rule.facts(found.values)


def check_believed(facts: Facts, truth: Facts) -> None:
    """Every fact must be the daemon's; one that is missing is none."""
    for key, value in facts.items():
        assert value == truth.get(key), f"{key} is {value!r}, not {truth.get(key)!r}"


def write_sudo(
    user: str,
    tty: str | None,
    directory: str | None,
    target: str,
    environment: str | None,
    command: str,
) -> str:
    """A line as sudo's new_logline makes it."""
    fields = [f"TTY={tty}"] if tty else []
    fields += [f"PWD={directory}"] if directory else []
    fields += [f"USER={target}"]
    fields += [f"ENV={environment}"] if environment else []
    return f"{user:>8} : " + " ; ".join([*fields, f"COMMAND={command}"])


@given(
    user=WORD,
    tty=st.sampled_from([None, "unknown", "pts/0", "tty1"]),
    directory=st.none() | HOSTILE_SET.map("/".__add__),
    target=WORD,
    environment=st.none() | HOSTILE_SET.map("A=".__add__),
    command=HOSTILE.map("/bin/x".__add__),
)
@example("ann", "pts/0", "/a ; USER=bob ; COMMAND=/bin/true", "root", None, "/bin/sh")
@example("ann", "pts/0", "/", "root", "A=x ; COMMAND=/bin/true", "/bin/sh")
@example("ann", "pts/0", "/", "root", None, "/bin/echo x ; USER=bob ; COMMAND=/bin/sh")
def test_sudo_run_is_told_with_nothing_forged(
    user: str,
    tty: str | None,
    directory: str | None,
    target: str,
    environment: str | None,
    command: str,
) -> None:
    """A sudo is a success of the user who ran it, whatever directory and command he chose."""
    rule, facts = read("sudo", write_sudo(user, tty, directory, target, environment, command))
    assert (rule.action, rule.outcome) == ("privilege", "success")
    assert facts["user"] == user
    check_believed(
        facts,
        {
            "user": user,
            "target_user": target,
            "object": command,
            "tty": tty if tty != "unknown" else None,
        },
    )


@given(reason=st.sampled_from(["user NOT in sudoers", "command not allowed"]), text=HOSTILE_SET)
def test_sudo_refusal_is_never_a_success(reason: str, text: str) -> None:
    """A refused sudo stays a refusal of the same user, whatever he asked for."""
    line = f"     ann : {reason} ; TTY=pts/0 ; PWD=/{text} ; USER=root ; COMMAND=/bin/{text}"
    rule, facts = read("sudo", line)
    assert (rule.action, rule.outcome) == ("privilege", "failure")
    assert facts["user"] == "ann"
    check_believed(
        facts, {"user": "ann", "tty": "pts/0", "target_user": "root", "object": f"/bin/{text}"}
    )


@given(text=HOSTILE)
def test_sudo_refusal_with_text_before_the_fields_believes_only_the_user(text: str) -> None:
    """A name or a directory that sudo repeats in its reason is not read as a field."""
    for reason in (f"unknown user {text}", f"user not allowed to change directory to {text}"):
        line = f"     ann : {reason} ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh"
        rule, facts = read("sudo", line)
        assert (rule.action, rule.outcome) == ("privilege", "failure")
        assert facts == {"user": "ann"}


@given(command=HOSTILE, directory=HOSTILE, target=WORD)
@example("id as bob from /", "", "root")
@example("id", " as bob from /", "root")
def test_doas_believes_no_forged_target(command: str, directory: str, target: str) -> None:
    """Whoever runs doas is known; the target only where the command and the directory hide none."""
    rule, facts = read("doas", f"ann ran command x{command} as {target} from /{directory}")
    assert (rule.action, rule.outcome, facts["user"]) == ("privilege", "success", "ann")
    check_believed(facts, {"user": "ann", "target_user": target, "object": f"x{command}"})
    rule, facts = read("doas", f"command not permitted for ann: x{command}")
    assert (rule.outcome, facts) == ("failure", {"user": "ann", "object": f"x{command}"})


@given(
    user=WORD,
    tty=st.sampled_from([None, "/dev/pts/0"]),
    directory=HOSTILE,
    command=HOSTILE,
)
@example("ann", None, " ; USER=bob ; COMMAND=/bin/true", "/bin/sh")
def test_sudo_rs_believes_no_forged_field(
    user: str, tty: str | None, directory: str, command: str
) -> None:
    """A run by sudo-rs is told with its user and terminal, whatever directory and command say."""
    where = f"TTY={tty} ;" if tty else ""
    line = f"{user} : {where} PWD=/{directory} ; USER=root ; COMMAND=/{command}"
    rule, facts = read("sudo", line)
    assert (rule.action, rule.outcome, facts["user"]) == ("privilege", "success", user)
    assert facts.get("tty") == ("pts/0" if tty else None)
    check_believed(
        facts, {"user": user, "tty": "pts/0", "target_user": "root", "object": f"/{command}"}
    )


@given(user=HOSTILE_SET, why=HOSTILE, address=ADDRESS)
@example("x' from 198.51.100.9: y", "", "192.0.2.7")
@example("alice", " from 198.51.100.9", "192.0.2.7")
def test_duo_believes_no_forged_address(user: str, why: str, address: str) -> None:
    """The name may be one that its user chose in a directory, and the reason is another's text."""
    for word, outcome in (("Failsafe", "success"), ("Failed", "failure"), ("Aborted", "failure")):
        rule, facts = read("sshd", f"{word} Duo login for '{user}' from {address}: x{why}")
        assert (rule.action, rule.outcome) == ("authentication", outcome)
        check_believed(facts, {"user": user, "source_ip": address})


@given(user=HOSTILE_SET, address=ADDRESS)
@example("x] rhost=[198.51.100.9] ruser=[y", "192.0.2.7")
def test_what_pam_warns_of_is_not_forged(user: str, address: str) -> None:
    """pam_warn tells every name that a client gave between brackets."""
    line = f"function=[pam_sm_authenticate] flags=0 service=[ftp] terminal=[] user=[{user}]"
    _, facts = read("vsftpd", f"pam_warn(other:auth): {line} ruser=[{user}] rhost=[{address}]")
    check_believed(facts, {"user": user, "source_ip": address, "tty": ""})


@given(address=ADDRESS, user=HOSTILE_SET)
@example("192.0.2.7", "x rhost=198.51.100.9  user=root")
def test_pam_failure_of_sshd_keeps_the_real_address(address: str, user: str) -> None:
    """sshd sets no remote user: the first rhost is its own and the rest is the client's name."""
    rule, facts = read(
        "sshd",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= "
        f"rhost={address}  user={user}",
    )
    assert (rule.action, rule.outcome) == ("authentication", "failure")
    assert facts == {"source_ip": address, "user": user}


@given(address=ADDRESS, user=HOSTILE_SET, told=st.booleans(), count=st.integers(0, 9))
@example("192.0.2.7", "b rhost=192.0.2.7  rhost=198.51.100.9  user=b", False, 0)
def test_pam_failure_of_an_ftp_server_believes_no_forged_field(
    address: str, user: str, told: bool, count: int
) -> None:
    """A server that passes the client's name as the remote user too cannot be made to lie."""
    start = "pam_unix(vsftpd:auth): " if not count else f"PAM {count} more "
    noun = "authentication failures;" if count else "authentication failure;"
    tail = f" user={user}" if told else ""
    rule, facts = read(
        "vsftpd", f"{start}{noun} logname= uid=0 euid=0 tty=ftp ruser={user} rhost={address} {tail}"
    )
    assert (rule.action, rule.outcome) == ("authentication", "failure")
    check_believed(facts, {"source_ip": address, "count": count, "user": user})


@given(user=HOSTILE, address=ADDRESS)
def test_one_name_in_a_line_of_pam_is_that_name(user: str, address: str) -> None:
    """Where a module tells one name, all of the name is taken and only the name."""
    for line, truth in {
        f"pam_unix(sudo:auth): auth could not identify password for [{user}]": {"user": user},
        f"pam_unix(sshd:auth): bad username [{user}]": {"user": user},
        f"pam_unix(sshd:account): account {user} has expired (account expired)": {"user": user},
        f"pam_access(sshd:account): access denied for user `{user}' from `{address}'": {
            "user": user,
            "source_ip": address,
        },
        f"pam_faillock(sshd:auth): Consecutive login failures for user {user} account temporarily"
        " locked": {"user": user},
        f'pam_succeed_if(sshd:auth): requirement "uid >= 1000" not met by user "{user}"': {
            "user": user
        },
    }.items():
        assert read("sshd", line)[1] == truth


@given(user=HOSTILE, address=ADDRESS, reason=st.sampled_from(["Authentication failure"]))
def test_refused_console_login_keeps_terminal_and_address(
    user: str, address: str, reason: str
) -> None:
    """The terminal and the host are login's, however the name that was typed reads."""
    for line in (
        f"FAILED LOGIN (1) on '/dev/pts/0' from '{address}' FOR '{user}', {reason}",
        f"FAILED LOGIN 1 FROM {address} FOR {user}, {reason}",
        f"FAILED LOGIN SESSION FROM {address} FOR {user}, {reason}",
        f"TOO MANY LOGIN TRIES (3) FROM {address} FOR {user}, {reason}",
    ):
        rule, facts = read("login", line)
        assert (rule.action, rule.outcome) == ("login", "failure")
        assert facts["source_ip"] == address
        check_believed(facts, {"source_ip": address, "tty": "pts/0", "user": user})


@given(name=HOSTILE_SET)
def test_su_keeps_who_called_it(name: str) -> None:
    """The caller and the terminal come before the name he typed."""
    _, facts = read("su", f"- /dev/pts/1 alice:{name}")
    assert facts == {"tty": "pts/1", "user": "alice", "target_user": name}
    assert read("su", f"FAILED su for {name} by alice")[0].ignore


@given(directory=HOSTILE, command=HOSTILE)
@example("a] [COMMAND=/bin/true", "/bin/sh")
def test_pkexec_believes_no_forged_field(directory: str, command: str) -> None:
    """User, target and terminal come before what the caller chose."""
    _, facts = read(
        "pkexec",
        f"alice: Executing command [USER=root] [TTY=/dev/pts/0] [CWD=/{directory}]"
        f" [COMMAND={command}]",
    )
    assert facts["user"] == "alice"
    check_believed(
        facts, {"user": "alice", "target_user": "root", "tty": "pts/0", "object": command}
    )


@given(command=HOSTILE)
def test_polkit_believes_no_forged_owner(command: str) -> None:
    """The asking program's command line cannot name another owner of it."""
    _, facts = read(
        "polkitd",
        "Operator of unix-session:2 FAILED to authenticate to gain authorization for action "
        f"org.example.act for unix-process:2345:678 [{command}] (owned by unix-user:alice)",
    )
    check_believed(facts, {"user": "alice", "object": "org.example.act"})


@given(command=HOSTILE)
def test_cron_command_is_all_of_it(command: str) -> None:
    """A crontab's command is taken whole, for the crontab's user."""
    _, facts = read("cron", f"(alice) CMD ({command})")
    assert facts == {"user": "alice", "object": command}


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        ("su", ["Successful su for root by alice", "+ /dev/pts/0 alice:root"]),
        ("su", ["FAILED su for root by alice", "- /dev/pts/0 alice:root"]),
        ("su", ["(to root) alice on pts/0"]),
        ("su", ["FAILED SU (to root) alice on pts/0"]),
        (
            "useradd",
            [
                "new user: name=zed, UID=1003, GID=100, home=/home/zed, shell=/bin/sh, from=none",
                "add 'zed' to shadow group 'games'",
            ],
        ),
        (
            "groupadd",
            [
                "group added to /etc/group: name=team, GID=1005",
                "group added to /etc/gshadow: name=team",
                "new group: name=team, GID=1005",
            ],
        ),
        (
            "groupdel",
            [
                "group 'crew' removed from /etc/group",
                "group 'crew' removed from /etc/gshadow",
                "group 'crew' removed",
            ],
        ),
        (
            "systemd-logind",
            ["The system will reboot now!", "System is rebooting."],
        ),
        (
            "systemd-logind",
            [
                f"New session '{number}' of user 'ann' with class '{kind}' and type 'unspecified'."
                for number, kind in ((3, "user"), (4, "manager"))
            ],
        ),
        (
            "su",
            ["NO password asked for su from 'ann' to 'root' (/etc/suauth)", "+ pts/0 ann:root"],
        ),
    ],
)
def test_one_deed_is_one_event(program: str, lines: list[str]) -> None:
    """Of the lines that tell one deed exactly one becomes an event."""
    assert sum(not read(program, line)[0].ignore for line in lines) == 1


def test_failures_of_a_bsds_login_count_once() -> None:
    """Its two lines of the same failures are that many logins, and as many of PAM's kind."""
    lines = ["3 LOGIN FAILURES FROM 203.0.113.7", "3 LOGIN FAILURES FROM 203.0.113.7, alice"]
    rules = [read("login", line) for line in lines]
    assert [rule.action for rule, _ in rules] == ["authentication", "login"]
    assert [facts["count"] for _, facts in rules] == [3, 3]


@pytest.mark.parametrize(
    ("program", "line", "told"),
    [
        ("login", "invalid password for 'UNKNOWN' on 'tty1'", ("login", "invalid_user")),
        ("login", "FAILED LOGIN SESSION FROM tty1 FOR (unknown), x", ("login", "invalid_user")),
        ("sudo", f"ann : invalid shell for user bob: /x ; {FIELDS}", ("privilege", "no_shell")),
        (
            "sudo",
            f"ann : setid command rejected in intercept mode ; {FIELDS}",
            ("privilege", "not_permitted"),
        ),
        (
            "sudo",
            f"ann : PAM authentication error: Module is unknown ; {FIELDS}",
            ("privilege", "system_error"),
        ),
        ("sshd", "refusing RSA key: Invalid key length", ("authentication", "key_refused")),
    ],
)
def test_an_attempt_is_an_attempt(program: str, line: str, told: tuple[str, str]) -> None:
    """What a user tried is told as that, and no word for nobody's account becomes a name."""
    rule, facts = read(program, line)
    assert (rule.action, rule.reason) == told
    assert rule.outcome == "failure"
    assert facts.get("user") in (None, "ann")


@pytest.mark.table
@pytest.mark.parametrize("file", load_rule_files([BUILT_IN]), ids=lambda file: file.program)
def test_no_rule_takes_more_than_linear_time(file: RuleFile) -> None:
    """A line of 16 KiB that begins as a real one and goes on in its own words costs no second."""
    program = Program(file)
    for rule in file.rules:
        words = rule.examples[0].message.split(" ")[:12]
        for cut in range(len(words)):
            start, piece = " ".join(words[:cut]), " ".join(words[cut : cut + 3]) + " "
            line = (start + " " + piece * (16384 // len(piece)))[:16384]
            begin = time.process_time()
            program.read(line)
            program.read(line + "\0")
            assert time.process_time() - begin < 1.0, line[:100]


@pytest.mark.parametrize("file", load_rule_files([BUILT_IN]), ids=lambda file: file.program)
def test_what_a_rule_captures_is_known_before_it_is_compiled(file: RuleFile) -> None:
    """The groups that a pattern is said to have are those that it has once it is compiled."""
    for rule in file.rules:
        compiled = CompiledRule(rule)
        told = {name for name in GROUPS if compiled.captures(name)}
        compiled.fullmatch("")
        assert told == set(compiled.groups)


def test_every_example_holds() -> None:
    """Each rule gives exactly the facts that its examples say."""
    assert check_examples(load_rule_files([BUILT_IN])) == []


@pytest.mark.parametrize("digits", [7, 20, 5000])
@pytest.mark.parametrize("rest", ["user=root", "", "x"])
def test_a_count_beyond_belief_is_not_read(digits: int, rest: str) -> None:
    """PAM's number of failures has few digits; a longer one is no line of PAM's."""
    peer = "logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  "
    line = f"PAM {'9' * digits} more authentication failures; {peer}{rest}"
    assert RULEBOOK.programs["sshd"].read(line) is None


@pytest.mark.parametrize("group", ["count", "child_pid"])
@pytest.mark.parametrize(
    ("digits", "good"),
    [
        (r"\d{1,6}", True),
        (r"\d{1,10}", True),
        (r"\d+", False),
        (r"\d{1,11}", False),
        (r"\d{1,}", False),
        (r"\w{1,6}", False),
        (r"\d{1,6}|x", False),
        (r"\d{1,6}.*", False),
    ],
)
def test_a_number_is_bounded(group: str, digits: str, good: bool) -> None:
    """A rule whose count may be anything is refused: it would stop the exporter."""
    rule = ParsingRule("mine", f"x (?P<{group}>{digits})", [Example("x 1")], action="login")
    assert (check_rule(rule) == []) is good


@pytest.mark.parametrize(
    "pattern", ["a{99999999999999}", "a{" + "9" * 5000 + "}", "(" * 3000 + ")" * 3000, "(", "%{x}"]
)
def test_a_pattern_that_cannot_be_compiled(pattern: str) -> None:
    """Whatever Python raises for a pattern, the rule is told to be faulty."""
    rule = ParsingRule("mine", pattern, [Example("x")], action="login")
    [(key, fault)] = check_rule(rule)
    assert key == "pattern"
    assert "the pattern is not valid" in fault


@pytest.mark.parametrize(
    "pattern, good",
    [
        (r"(?:a|b)*+", False),
        (r"(?:a|b){2,}+", False),
        (r"(?:a|[)])?+", False),
        (r"(?>(?:a|b)*)", True),
        (r"a[)*+]\)*+[b]*+", True),
    ],
)
def test_a_possessive_group(pattern: str, good: bool) -> None:
    """What the oldest Python that is supported would match wrongly is refused."""
    rule = ParsingRule("mine", pattern, [Example("x")], action="login")
    assert (check_rule(rule) == []) is good


_FILE = """program: mine
rules:
  - name: sound
    pattern: 'x'
    action: login
    examples: [message: x]
  - name: faulty
    pattern: '('
    action: loggin
    outcome: maybe
    examples: []
"""


def test_faults_are_told_with_their_place(tmp_path: Path) -> None:
    """Each fault of a rule is told with the line and column of the value that is wrong."""
    (tmp_path / "mine.yaml").write_text(_FILE)
    with pytest.raises(DocumentError) as told:
        load_rule_files([tmp_path])
    assert [(p.place, p.message.split(":")[0]) for p in told.value.problems] == [
        ("8:14", "rules.1.pattern"),
        ("9:13", "rules.1.action"),
        ("10:14", "rules.1.outcome"),
        ("11:15", "rules.1.examples"),
    ]


def test_every_file_of_a_folder_is_read(tmp_path: Path) -> None:
    """Both endings of YAML are read; of one program there is one file, or both are named."""
    sound = "".join(_FILE.splitlines(keepends=True)[:6])
    (tmp_path / "a.yml").write_text(sound)
    assert [file.program for file in load_rule_files([tmp_path])] == ["mine"]
    (tmp_path / "b.yaml").write_text(sound)
    with pytest.raises(DocumentError) as told:
        load_rule_files([tmp_path])
    [problem] = told.value.problems
    assert (problem.file, problem.place) == (str(tmp_path / "b.yaml"), "1:10")
    assert "a.yml already has the rules of `mine`" in problem.message


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder of rules that is not there, or is a file, is told."""
    (tmp_path / "file").touch()
    folders = [tmp_path / "missing", tmp_path / "file"]
    with pytest.raises(DocumentError) as told:
        load_rule_files(folders)
    assert [problem.file for problem in told.value.problems] == list(map(str, folders))


@pytest.mark.parametrize("aliases", ["[sshd]", "[x, sshd-session]"])
def test_a_name_of_another_programs(tmp_path: Path, aliases: str) -> None:
    """A file that would read another program's lines beside that one's rules is refused."""
    (tmp_path / "mine.yaml").write_text(f"program: mine\naliases: {aliases}\nrules: []\n")
    with pytest.raises(DocumentError) as caught:
        load_rule_files([BUILT_IN, tmp_path])
    (problem,) = caught.value.problems
    assert "the rules of sshd already read" in problem.message
    assert problem.place.startswith("2:")
