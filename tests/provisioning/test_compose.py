"""docker-compose.yml, its image and what it mounts; tests/provisioning/test_stack.py starts it.

Debian's docker-compose checks it against the Compose specification, Prometheus and Alertmanager are
started by its very command lines, and InfluxDB's set-up runs with the capabilities that it has.
"""

import re
import shutil
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from heptad.core import __version__
from heptad.core.config.schema import load_config
from tests.support import needs
from tests.support.influxd_2 import ORGANIZATION, TOKEN, Influxd2
from tests.support.ports import reserve_port
from tests.system.test_real_prometheus import wait_for

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
VOLUMES: set[str] = set(yaml.safe_load(TEXT)["volumes"])
ONE_SHOT = "influxdb-setup"
SECRETS = ("GRAFANA_ADMIN_PASSWORD", "INFLUXDB_ADMIN_PASSWORD", "INFLUXDB_ADMIN_TOKEN")
HEPTAD = {name for name in SERVICES if SERVICES[name]["image"].startswith("heptad:")}
EACH = pytest.mark.parametrize("name", SERVICES)
DAEMONS = pytest.mark.parametrize("name", sorted(SERVICES.keys() - {ONE_SHOT}))
SECRET = re.compile("PASSWORD|TOKEN|SECRET|KEY")
EXACT = re.compile(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z0-9-]+)?(@sha256:[0-9a-f]{64})?")


def write_env(file: Path) -> str:
    """What the make target says."""
    done = subprocess.run(
        [str(ROOT / "scripts/write-env"), str(file)], check=True, capture_output=True, text=True
    )
    return done.stdout


def mounts(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, target and whether it is read-only, of both ways to write a mount."""
    found = []
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            found.append((volume["source"], volume["target"], volume.get("read_only", False)))
        else:
            source, target, *mode = volume.split(":")
            found.append((source, target, mode == ["ro"]))
    return found


# --- The file -------------------------------------------------------------------------------------


def test_compose_accepts_it(tmp_path: Path) -> None:
    """The file is valid by the Compose specification, and with the written .env complete."""
    needs.program("docker-compose")
    env = tmp_path / ".env"
    write_env(env)
    command = ["docker-compose", f"--env-file={env}", f"--file={ROOT}/docker-compose.yml"]
    checked = subprocess.run([*command, "config"], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""


@pytest.mark.parametrize("missing", SECRETS)
def test_compose_wants_the_secrets(tmp_path: Path, missing: str) -> None:
    """Without one of them nothing starts, and the message names it and the remedy."""
    needs.program("docker-compose")
    (tmp_path / ".env").write_text("".join(f"{one}=x\n" for one in SECRETS if one != missing))
    command = ["docker-compose", f"--env-file={tmp_path}/.env", "--file"]
    checked = subprocess.run(
        [*command, str(ROOT / "docker-compose.yml"), "config"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode != 0
    assert f"{missing} is missing in .env; without .env run make env" in checked.stderr


@EACH
def test_images_are_pinned(name: str) -> None:
    """Each image has an exact version; Heptad's is that of the project."""
    image = SERVICES[name]["image"]
    assert EXACT.fullmatch(image), image
    if name in HEPTAD:
        assert image == f"heptad:{__version__}"


def test_the_image_is_built_once() -> None:
    """One service builds Heptad's image, before the others need it; nobody asks a registry for it.

    Two that build it at once fail with a new BuildKit: "image already exists".
    """
    assert [name for name in SERVICES if "build" in SERVICES[name]] == [ONE_SHOT]
    for name in HEPTAD:
        assert SERVICES[name]["pull_policy"] == "never"
        assert name == ONE_SHOT or ONE_SHOT in SERVICES[name]["depends_on"]


@DAEMONS
def test_daemons_are_watched(name: str) -> None:
    """A daemon has a health check, is started again, and its log does not fill the disk."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@EACH
def test_what_a_service_may(name: str) -> None:
    """Nobody is privileged or may become so; Heptad's own have no capability but those named."""
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    if name in HEPTAD:
        needed = {"exporter": ["DAC_READ_SEARCH"], ONE_SHOT: ["CHOWN", "FOWNER"]}
        assert service["cap_drop"] == ["ALL"]
        assert service.get("cap_add") == needed.get(name)
        assert service["read_only"]


def test_everything_listens_on_loopback() -> None:
    """Every address is loopback unless .env says otherwise, and only InfluxDB's is published.

    InfluxDB's image listens on every address while it makes its first user, so it has a network
    of its own.
    """
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"influxdb": ["${INFLUXDB_ADDRESS:-127.0.0.1}:8086:8086"]}
    in_the_host = {name for name in SERVICES if SERVICES[name].get("network_mode") == "host"}
    assert SERVICES.keys() - in_the_host == published.keys()
    addresses = re.findall(r"(?:listen-address=|_ADDR(?:ESS)?: )(.*)", TEXT)
    assert len(addresses) == 4
    assert all(re.match(r"127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}|$", text) for text in addresses)
    config = load_config(ROOT / "provisioning/heptad/heptad.yaml")
    assert config.exporter.listen == "127.0.0.1:9707"
    assert config.aggregator.listen == "127.0.0.1:9708"


def test_no_secret_stands_in_it(tmp_path: Path) -> None:
    """Each secret is a variable without a default; what variables there are `make env` writes."""
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert re.fullmatch(r"\$\{(\w+):\?\1 is missing in .*\}", value), key
    write_env(tmp_path / ".env")
    written = set(re.findall(r"^(\w+)=", (tmp_path / ".env").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == written


@EACH
def test_mounts_are_there(name: str) -> None:
    """What is mounted of the project exists, what is kept has a volume, the host is read-only."""
    for source, target, read_only in mounts(SERVICES[name]):
        if source.startswith("./"):
            assert (ROOT / source).is_dir(), source
            assert read_only, source
        elif source.startswith("/"):
            assert read_only, source
            assert target == f"/host{source}".rstrip("/")
        else:
            assert source in VOLUMES
    config = load_config(ROOT / "provisioning/heptad/heptad.yaml")
    assert config.exporter.host_root == "/host"


def test_the_host_is_whole() -> None:
    """The exporter sees the host's processes, network, /proc, /sys and /."""
    exporter = SERVICES["exporter"]
    assert (exporter["pid"], exporter["network_mode"]) == ("host", "host")
    assert {"/", "/proc", "/sys"} <= {source for source, _, _ in mounts(exporter)}


# --- .env and the image ---------------------------------------------------------------------------


def test_secrets_are_fresh_and_stay(tmp_path: Path) -> None:
    """`make env` writes long secrets for their owner alone, and never over those that are there."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert "fresh" in write_env(first)
    write_env(second)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    secrets = re.findall(r"=([0-9a-f]{64})$", first.read_text() + second.read_text(), re.MULTILINE)
    assert len(set(secrets)) == 6
    before = first.read_text()
    assert "already exists and was not changed" in write_env(first)
    assert first.read_text() == before
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_without_compose_it_says_so(tmp_path: Path) -> None:
    """With a Docker that has no Compose 2 nothing is started, and the message names the page."""
    needs.program("make")
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["make", f"--directory={ROOT}", "stack"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.returncode != 0
    assert "docs/running/compose.md" in done.stderr
    assert "http://" not in done.stdout


def test_the_image() -> None:
    """Its base is pinned, what is copied is let in, and the last stage builds nothing."""
    text = (ROOT / "Dockerfile").read_text()
    [base] = re.findall("^ARG PYTHON=(.*)$", text, re.MULTILINE)
    assert EXACT.fullmatch(base)
    let_in = set(re.findall("^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = " ".join(re.findall(r"^COPY ([^-].*) \S+$", text, re.MULTILINE)).split()
    assert set(copied) == let_in
    assert [name for name in copied if not (ROOT / name).exists()] == []
    last = text.rpartition("\nFROM ")[2]
    assert "pip install" not in last
    assert "\nUSER heptad\n" in last
    assert "--require-hashes" in text


def test_the_image_has_all_that_it_needs(tmp_path: Path) -> None:
    """What is let into the image suffices to install Heptad whole, with rules and dashboards."""
    let_in = re.findall("^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    context, installed = tmp_path / "context", tmp_path / "installed"
    context.mkdir()
    for name in let_in:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name)
        else:
            shutil.copy(ROOT / name, context)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", f"--target={installed}", str(context)],
        check=True,
        capture_output=True,
    )
    heptad = [sys.executable, "-m", "heptad", "rules", "test"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed)}
    subprocess.run(heptad, check=True, capture_output=True, cwd=tmp_path, env=environment)
    shipped = {path.name for path in (ROOT / "dashboards/provisioned").glob("*.json")}
    data = installed / "heptad/cli/grafana/provisioned"
    assert {path.name for path in data.iterdir()} >= shipped


# --- The programs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "program"),
    [("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")],
)
def test_a_service_starts_as_it_is_called(name: str, program: str, tmp_path: Path) -> None:
    """The program takes the command line and the mounted configuration, and becomes ready."""
    needs.program(program)
    port = reserve_port()
    command = [program, *SERVICES[name]["command"]]
    for source, target, _ in mounts(SERVICES[name]):
        place = str(ROOT / source) if source.startswith("./") else str(tmp_path)
        command = [re.sub(f"=({target})(?=/|$)", f"={place}", word) for word in command]
    command = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", word) for word in command]
    ready = re.sub(r":\d+/", f":{port}/", SERVICES[name]["healthcheck"]["test"][-1])
    with ExitStack() as running:
        log = running.enter_context((tmp_path / "log").open("w"))
        process = subprocess.Popen(command, stdout=log, stderr=log)
        running.callback(process.wait, 30)
        running.callback(process.terminate)
        wait_for(lambda: urlopen(ready).status == 200, "it is not ready")  # noqa: S310
        assert process.poll() is None


def test_each_reader_finds_its_token(tmp_path: Path, influxd_2: Influxd2) -> None:
    """With its two capabilities the set-up gives each user one token; again it makes none."""
    needs.root()
    needs.program("setpriv")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    places = {"SECRETS": f"{tmp_path}/secrets", "TOKENS": f"{tmp_path}/tokens"}
    folder = ROOT / "provisioning/influxdb"
    caps = "--bounding-set=-all," + ",".join(
        f"+{name.lower()}" for name in SERVICES[ONE_SHOT]["cap_add"]
    )
    environment = {
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "CONFIG": str(folder / "admin.yaml"),
        "INFLUXDB_URL": influxd_2.url,
        "INFLUXDB_ORG": ORGANIZATION,
        "INFLUXDB_ADMIN_TOKEN": TOKEN,
        **places,
    }
    before = {one["id"] for one in list_tokens(influxd_2)}
    for _ in range(2):
        done = subprocess.run(
            ["setpriv", caps, "--no-new-privs", str(folder / "setup")],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
    made = [one for one in list_tokens(influxd_2) if one["id"] not in before]
    influxd_2.drop("events", "reports", "heptad")
    for one in made:
        influxd_2.call("DELETE", f"/api/v2/authorizations/{one['id']}")
    assert len(made) == 3
    owners = {}
    for token in (tmp_path / "tokens").glob("*/influxdb.token"):
        assert stat.S_IMODE(token.stat().st_mode) == 0o400
        owners[token.parent.name] = token.stat().st_uid
    assert owners == {"exporter": 0, "aggregator": 10001, "grafana": 472}
    assert "--uid 10001" in (ROOT / "Dockerfile").read_text()


def list_tokens(server: Influxd2) -> list[dict[str, Any]]:
    """All tokens that the server has."""
    found: list[dict[str, Any]] = server.call("GET", "/api/v2/authorizations")["authorizations"]
    return found


# --- Grafana --------------------------------------------------------------------------------------

GRAFANA = ROOT / "provisioning/grafana"


def test_grafana_knows_the_sources() -> None:
    """Each data source has the uid that the dashboards ask for, the bucket, and no open secret."""
    sources = yaml.safe_load((GRAFANA / "datasources/heptad.yml").read_text())["datasources"]
    uids = {source["uid"] for source in sources}
    assert uids == {"heptad-prometheus", "heptad-events", "heptad-reports"}
    influxdb = [source for source in sources if source["type"] == "influxdb"]
    assert [source["jsonData"]["dbName"] for source in influxdb] == ["events", "reports"]
    targets = [target for _, target, _ in mounts(SERVICES["grafana"])]
    for source in influxdb:
        assert source["jsonData"]["version"] == "InfluxQL"
        [secret] = source["secureJsonData"].values()
        [file] = re.findall(r"^Token \$__file\{(.*)\}$", secret)
        assert str(Path(file).parent) in targets
    for dashboard in (ROOT / "dashboards/provisioned").glob("*.json"):
        text = dashboard.read_text()
        assert set(re.findall('"value": "(heptad-[a-z]+)"', text)) <= uids


def test_grafana_finds_the_dashboards() -> None:
    """The provider reads the folder that is mounted, and one of the dashboards is the home page."""
    [provider] = yaml.safe_load((GRAFANA / "dashboards/heptad.yml").read_text())["providers"]
    [source] = [s for s, t, _ in mounts(SERVICES["grafana"]) if t == provider["options"]["path"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(provider["options"]["path"])
    assert (ROOT / source / Path(home).name).is_file()
