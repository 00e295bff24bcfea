"""`make stack` on a host with a Docker engine: the compose file is started, attacked and restarted.

The engine, Compose, Heptad's image and the servers are real (tests/support/real/docker_host.py). Grafana
has no image here: what it is given is read as it would read it, and its queries are asked.
"""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import pytest
import yaml

from tests.provisioning.test_compose import SERVICES, mounts
from tests.support.grafana import BOARDS, QUERIES, put_in, values_of
from tests.support.real import journald
from tests.support.real.docker_host import DockerHost
from tests.support.real.sandbox import wait_until
from tests.support.real.sshd import Client, SshServer

ATTACKER: Final = "203.0.113.66"
PASSWORD: Final = "right"
FAILURES: Final = 54
INFLUXDB: Final = "http://127.0.0.1:8086"
PROMETHEUS: Final = "http://127.0.0.1:9090/api/v1"
ALERTS: Final = {"HeptadBruteForce", "HeptadSuccessAfterManyFailures"}
GRAFANA: Final = "472"
"""The user in Grafana's image (grafana/grafana, Dockerfile: GF_UID)."""


@pytest.fixture(scope="module")
def host() -> Iterator[DockerHost]:
    """A host with Docker, journald and a user, on which nothing of Heptad's runs yet."""
    with DockerHost() as host:
        host.add_users("alice", password=PASSWORD)
        journald.start(host)
        yield host


class Stack(NamedTuple):
    """The stack when it has been attacked."""

    host: DockerHost
    said: str
    attacked: float

    def secret(self, name: str) -> str:
        """A secret of `.env`."""
        [found] = re.findall(
            f"^{name}=(.*)$", (self.host.checkout / ".env").read_text(), re.MULTILINE
        )
        return str(found)

    def influxdb(self, path: str) -> Any:
        """What InfluxDB answers to its administrator."""
        headers = {"Authorization": f"Token {self.secret('INFLUXDB_ADMIN_TOKEN')}"}
        return self.host.get(f"{INFLUXDB}{path}", headers)

    def rows(self, query: str, bucket: str) -> list[list[Any]]:
        """The rows that InfluxDB has for an InfluxQL query of one statement."""
        words = urlencode({"q": query, "db": bucket, "epoch": "ns"})
        [result] = self.influxdb(f"/query?{words}")["results"]
        return [row for series in result.get("series", []) for row in series["values"]]

    def alice(self) -> list[list[Any]]:
        """All that InfluxDB has of her logins."""
        return self.rows("""SELECT * FROM "events" WHERE "user" = 'alice'""", "events")

    def findings(self) -> set[tuple[Any, ...]]:
        """Rule, severity and count of each finding row of high severity."""
        asked = """SELECT "rule", "severity", "count" FROM "findings" WHERE "severity" = 'high'"""
        return {tuple(row) for row in self.rows(asked, "reports")}

    def has(self, query: str) -> bool:
        """Whether Prometheus has something for this query."""
        return bool(self.host.get(f"{PROMETHEUS}/query?query={quote(query)}")["data"]["result"])

    def firing(self) -> set[str]:
        """The alerts that fire in Prometheus."""
        alerts = self.host.get(f"{PROMETHEUS}/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def received(self) -> set[str]:
        """The alerts that Alertmanager has."""
        alerts = self.host.get("http://127.0.0.1:9093/api/v2/alerts")
        return {one["labels"]["alertname"] for one in alerts}

    def wait_for(self, found: Any, what: str) -> None:
        """Within two minutes of the attack."""
        wait_until(found, what, self.attacked + 120 - time.time())


def make_stack(host: DockerHost, folder: Path | None = None) -> tuple[int, str]:
    """Exit status and what it says."""
    done = host.call("make", "stack", folder=folder)
    return done.returncode, done.stdout + done.stderr


def attack(host: DockerHost) -> None:
    """Wrong passwords by the dozen, then the right one."""
    # sshd's own defence would make the number of refused logins a matter of time
    with SshServer(host, ["PerSourcePenalties no", "MaxStartups 100"]) as server:
        client = Client(server, ATTACKER)
        for _ in range(FAILURES // 3):
            client.password("alice", "wrong", "worse", "worst")
        assert client.password("alice", PASSWORD) == 0
        server.wait_idle()


# --- What keeps it from starting ------------------------------------------------------------------


def test_used_ports(host: DockerHost) -> None:
    """Each port that another program listens on is named with its service, and nothing starts."""
    listen = """
import socket, time
listening = [socket.create_server(("127.0.0.1", 9090)), socket.create_server(("", 8086))]
time.sleep(600)
"""
    host.start("python3", "-c", listen)
    wait_until(lambda: {"9090", "8086"} <= ports_of(host), "the listeners")
    status, said = make_stack(host)
    host.run("pkill", "-f", "create_server")
    assert status != 0
    used = re.findall("^Port (.*), which (.*) needs, is in use on this host.$", said, re.MULTILINE)
    assert sorted(used) == [("8086", "influxdb"), ("9090", "prometheus")]
    assert "sport = :9090" in said
    assert host.docker("ps", "--all", "--quiet") == ""


def ports_of(host: DockerHost) -> set[str]:
    """The ports on which somebody listens."""
    return set(re.findall(r":(\d+) ", host.run("ss", "-ltn").stdout))


def test_a_private_mount(host: DockerHost) -> None:
    """Where `/` is a private mount, the exporter is named, and what to do."""
    host.run("mount", "--make-rprivate", "/")
    status, said = make_stack(host)
    host.run("mount", "--make-rshared", "/")
    assert status != 0
    assert "exporter is not healthy" in said
    assert "mount --make-rshared /" in said
    assert "prometheus is not healthy" not in said


@pytest.mark.parametrize("line", ["", "INFLUXDB_ADMIN_TOKEN=\n", 'INFLUXDB_ADMIN_TOKEN=""\n'])
def test_a_secret_that_is_missing(host: DockerHost, line: str) -> None:
    """Where `.env` lacks a variable, or has it empty, it is named, and nothing starts."""
    env = host.checkout / ".env"
    kept = env.read_text()
    before = host.docker("ps", "--all", "--quiet")
    env.write_text(re.sub("(?m)^INFLUXDB_ADMIN_TOKEN=.*\n", line, kept))
    status, said = make_stack(host)
    env.write_text(kept)
    assert status != 0
    assert "INFLUXDB_ADMIN_TOKEN is missing in" in said
    assert "_PASSWORD is missing" not in said
    assert "restore the line" in said
    assert host.docker("ps", "--all", "--quiet") == before


# --- The stack ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack(host: DockerHost) -> Stack:
    """Started by `make stack`, and attacked when everything is scraped."""
    status, said = make_stack(host)
    assert status == 0, said
    stack = Stack(host, said, time.time())
    wait_until(lambda: stack.has("count(up == 1) == 2"), "both parts scraped", 60)
    wait_until(lambda: stack.has("heptad_delivery_behind_events == 0"), "delivery", 60)
    attack(host)
    return stack._replace(attacked=time.time())


def test_it_is_healthy(stack: Stack) -> None:
    """`make stack` ends when every service is healthy, and says where to look, without a secret."""
    states = stack.host.compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}}")
    assert sorted(states.splitlines()) == [
        "aggregator running healthy",
        "alertmanager running healthy",
        "exporter running healthy",
        "influxdb running healthy",
        "influxdb-setup exited ",
        "prometheus running healthy",
    ]
    assert "Every service is healthy." in stack.said
    assert "http://localhost:3000  user admin" in stack.said
    assert stack.secret("GRAFANA_ADMIN_PASSWORD") not in stack.said


def test_each_login_is_in_influxdb_once(stack: Stack) -> None:
    """54 failed logins of sshd's are 54 events there, and the one that succeeded is one."""
    counts = """
        SELECT sum("count"), count("count") FROM "events"
        WHERE "action" = 'login' AND "source_ip" = '203.0.113.66' GROUP BY "outcome"
    """

    def logins() -> list[list[Any]]:
        return sorted(row[1:] for row in stack.rows(counts, "events"))

    stack.wait_for(lambda: logins() == [[1, 1], [FAILURES, FAILURES]], "each login once")


def test_a_high_finding_and_its_alert(stack: Stack) -> None:
    """The break-in is a finding of high severity, fires in Prometheus and reaches Alertmanager."""
    stack.wait_for(lambda: "success_after_failures" in str(stack.findings()), "a high finding")
    stack.wait_for(lambda: stack.firing() >= ALERTS, "alerts in Prometheus")
    stack.wait_for(lambda: stack.received() >= ALERTS, "alerts in Alertmanager")


def read_as_grafana(host: DockerHost, *files: str) -> str:
    """The files of Grafana's mounts, as its user in a container with them."""
    words = ["run", "--rm", f"--user={GRAFANA}", "--entrypoint=cat", "--cap-drop=ALL"]
    for source, target, _ in mounts(SERVICES["grafana"]):
        is_folder = source.startswith("./")
        place = str(host.checkout / source) if is_folder else f"heptad_{source}"
        words.append(f"--volume={place}:{target}:ro")
    return host.docker(*words, str(SERVICES["influxdb-setup"]["image"]), *files)


def ask_like(source: dict[str, Any], text: str, token: str) -> tuple[str, dict[str, str]]:
    """Address and headers of a query, by a provisioned data source."""
    if source["type"] == "prometheus":
        return f"{source['url']}/api/v1/query?query={quote(text)}", {}
    words = urlencode({"db": source["jsonData"]["dbName"], "q": text, "epoch": "ms"})
    secret = re.sub(r"\$__file\{.*\}", token, source["secureJsonData"]["httpHeaderValue1"])
    return f"{source['url']}/query?{words}", {source["jsonData"]["httpHeaderName1"]: secret}


def test_every_query_of_the_dashboards_is_answered(stack: Stack) -> None:
    """With data sources, dashboards and token as Grafana's user finds them in its mounts."""
    provisioned = read_as_grafana(stack.host, "/etc/grafana/provisioning/datasources/heptad.yml")
    sources = {one["uid"]: one for one in yaml.safe_load(provisioned)["datasources"]}
    [place] = set(re.findall(r"\$__file\{(.*)\}", provisioned))
    token = read_as_grafana(stack.host, place).strip()
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    shipped = stack.host.checkout / "dashboards/provisioned" / Path(home).name
    assert read_as_grafana(stack.host, home) == shipped.read_text()
    now = int(time.time() * 1000)
    times = {"__from": str(now - 3_600_000), "__to": str(now)}
    times |= {"__rate_interval": "1m", "__range": "3600s", "__interval": "15s"}
    times["timeFilter"] = f"time >= {times['__from']}ms and time <= {now}ms"
    asked = []
    for query in QUERIES:
        values: dict[str, Any] = values_of(BOARDS[query.board], {"host": ["stack-host"]}) | times
        uid = put_in(query.target["datasource"]["uid"], values)
        asked.append(ask_like(sources[uid], put_in(query.text, values), token))
    answers = stack.host.fetch(asked)
    assert len(answers) == len(QUERIES)
    refused = {
        query.name: answer
        for query, answer in zip(QUERIES, answers, strict=True)
        if answer[0] != 200 or '"error"' in answer[1]
    }
    assert refused == {}
    shown = "".join(body for _, body in answers)
    assert ATTACKER in shown
    assert "success_after_failures" in shown


# --- Again ----------------------------------------------------------------------------------------


def test_a_missing_env(stack: Stack) -> None:
    """Without the `.env` that the volumes were made with, nothing starts; a remedy is printed."""
    env = stack.host.checkout / ".env"
    env.rename(env.with_name("away"))
    status, said = make_stack(stack.host)
    assert not env.exists()
    env.with_name("away").rename(env)
    assert status != 0
    assert (
        ".env is missing, but the volumes of the project heptad were made with its secrets" in said
    )
    assert f"Restore .env in {stack.host.checkout}" in said


@pytest.mark.parametrize("name", ["second", "other/heptad"])
def test_a_second_stack(stack: Stack, name: str) -> None:
    """Another checkout starts no second one, whatever its name; it says where the first one is."""
    other = stack.host.dir / name
    shutil.copytree(stack.host.checkout, other)
    before = stack.host.docker("ps", "--no-trunc")
    status, said = make_stack(stack.host, other)
    assert status != 0
    assert f"cd {stack.host.checkout} && docker compose down" in said
    assert stack.host.docker("ps", "--no-trunc", "--quiet").split() == [
        line.split()[0] for line in before.splitlines()[1:]
    ]


def test_down_and_up(stack: Stack) -> None:
    """Events, findings, buckets and tokens are the same, and a new login is added to them."""

    def accounts() -> list[Any]:
        files = "cat /srv/made/docker/volumes/heptad_*-token/_data/influxdb.token"
        texts = stack.host.run("sh", "-c", files).stdout
        assert len(texts.split()) == len(set(texts.split())) == 3
        buckets = stack.influxdb("/api/v2/buckets?limit=100")["buckets"]
        tokens = stack.influxdb("/api/v2/authorizations")["authorizations"]
        named = ((buckets, "name"), (tokens, "description"))
        ids = [sorted((one["id"], one[key]) for one in found) for found, key in named]
        return [texts, *ids]

    before, findings, known = stack.alice(), stack.findings(), accounts()
    assert len(before) > FAILURES
    stack.host.compose("down")
    assert stack.host.docker("ps", "--all", "--quiet") == ""
    status, said = make_stack(stack.host)
    assert status == 0, said
    assert accounts() == known
    with SshServer(stack.host) as server:
        assert Client(server, "203.0.113.67").password("alice", PASSWORD) == 0
        server.wait_idle()
    wait_until(lambda: "203.0.113.67" in str(stack.alice()), "a new login", 60)
    assert [row for row in stack.alice() if row in before] == before
    assert len([row for row in stack.alice() if ATTACKER in row]) == len(
        [row for row in before if ATTACKER in row]
    )
    assert stack.findings() >= findings


def test_a_service_that_does_not_start(stack: Stack) -> None:
    """`make stack` ends soon, and names the service and what its log says; the others are well."""
    config = stack.host.checkout / "provisioning/alertmanager/alertmanager.yml"
    text = config.read_text()
    config.write_text("routing: {}\n")
    stack.host.compose("restart", "alertmanager")
    status, said = make_stack(stack.host)
    config.write_text(text)
    assert status != 0
    assert re.findall("^(.*) is not healthy", said, re.MULTILINE) == ["alertmanager"]
    assert "field routing not found" in said
    assert "Every service" not in said
