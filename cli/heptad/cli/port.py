"""Query /healthz and /metrics of an exporter or aggregator."""

import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from heptad.core.config.strict_yaml import DocumentError
from heptad.core.config.types import Listen
from heptad.core.config.web import ServerTlsConfig, load_web_config
from heptad.core.http.deadline import PoolManager, limit

_SECONDS: Final = 5.0
"""Timeout of each of the two requests."""
_LONGEST_HEALTH: Final = 2**18
_LONGEST_METRICS: Final = 2**24
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses to listen on
_PREFIXES: Final = ("heptad_", "process_start_time_seconds")

Samples = Mapping[str, list[tuple[Mapping[str, str], float]]]
"""Name of a metric → its samples: labels and value."""


class PortError(Exception):
    """The port could not be queried; the message says why. ``is_closed``: nothing listens on it."""

    def __init__(self, message: str, *, is_closed: bool = False) -> None:
        super().__init__(message)
        self.is_closed = is_closed


class PortAnswer(msgspec.Struct):
    """The responses of /healthz and /metrics; ``problems`` is None if /healthz is invalid."""

    problems: list[str] | None
    samples: Samples

    def value(self, name: str) -> float | None:
        """Return the value of a metric without labels."""
        return next((value for labels, value in self.samples.get(name, ()) if not labels), None)


class Port:
    """The port at ``listen``, secured as in the file ``web_config``."""

    def __init__(
        self, listen: Listen, web_config: str, login: tuple[str, str] | None = None
    ) -> None:
        self._number = listen.port
        host = _EVERYWHERE.get(listen.host, listen.host)
        self._tls: ServerTlsConfig | None = None
        self._fault = ""
        if web_config:
            try:
                self._tls = load_web_config(Path(web_config)).tls_server_config
            except DocumentError as error:
                self._fault = str(error.problems[0])
        scheme = "https" if self._tls is not None else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._number}"
        self._headers = {"Accept-Encoding": "identity"}
        if login is not None:
            self._headers |= urllib3.make_headers(basic_auth=":".join(login))

    def ask(self) -> PortAnswer:
        """Query the port; raise PortError."""
        if self._fault:
            raise PortError(f"cannot be queried: its web_config_file is not valid: {self._fault}")
        if self._number == 0:
            raise PortError("cannot be queried: port 0 means any free port, another at each start")
        try:
            with PoolManager(**self._options()) as pool:
                status, health = self._get(pool, "/healthz", _LONGEST_HEALTH)
                problems = _read_health(status, health)
                _, text = self._get(pool, "/metrics", _LONGEST_METRICS)
        except NewConnectionError as error:
            raise PortError("nothing listens there", is_closed=True) from error
        except SSLError as error:
            raise PortError(f"cannot be queried: {_explain_tls(error)}") from error
        except (HTTPError, OSError) as error:
            raise PortError(f"does not answer within {_SECONDS:.0f} s: {_brief(error)}") from error
        return PortAnswer(problems, read_samples(text))

    def _options(self) -> dict[str, object]:
        options: dict[str, object] = {"headers": self._headers, "retries": False}
        options["timeout"] = urllib3.Timeout(total=_SECONDS)
        if self._tls is None:
            return options
        context = ssl.create_default_context(cafile=self._tls.cert_file)
        # accept exactly the configured certificate, whatever its issuer and names
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False
        return options | {"ssl_context": context, "assert_hostname": False}

    def _get(self, pool: PoolManager, path: str, most: int) -> tuple[int, str]:
        with limit(_SECONDS):
            answer = pool.request("GET", self.url + path, preload_content=False, redirect=False)
            body = answer.read(most)
            answer.close()
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise PortError(
                "cannot be queried: the user name or the password is wrong"
                if "authorization" in self._headers
                else "cannot be queried: it requires a password, and the configuration contains "
                "only its hash; pass --username and --password-file"
            )
        return answer.status, body.decode(errors="replace")


def _read_health(status: int, text: str) -> list[str] | None:
    if status == HTTPStatus.OK:
        return [] if text.strip() == "healthy" else None
    return text.splitlines() if status == HTTPStatus.SERVICE_UNAVAILABLE else None


def read_samples(text: str) -> Samples:
    """Parse Heptad's own metrics in a response of /metrics; return none if it is invalid."""
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(_own_lines(text)) + "\n"):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    except (ValueError, KeyError, IndexError):
        return {}
    return samples


def _own_lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.startswith(_PREFIXES))


def _explain_tls(error: SSLError) -> str:
    text = str(error)
    if "CERTIFICATE_REQUIRED" in text or "certificate required" in text:
        return "it requires a client certificate, and this command has none"
    return f"its certificate is not the configured one, or is not valid: {_brief(error)}"


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
