"""The links of alerts, and the host name in annotations.

Annotations are templates of Prometheus. A template has the labels of the alert and may run queries,
but not the time at which the alert started, so a range ends when the rule is evaluated, or at the
newest finding.
"""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

_INFO: Final = "heptad_host_info{job=%[1]q,instance=%[2]q}"
_HOSTS: Final = (
    f'query (printf "{_INFO} or on () last_over_time({_INFO}[1d:10m])" '
    "$labels.job $labels.instance)"
)
_BY_INSTANCE: Final = f"{{{{ range {_HOSTS} }}}}{{{{ $host = .Labels.host }}}}{{{{ end }}}}"
_BY_LABEL: Final = '{{ $host := or $labels.host "" }}{{ if eq $host "other" }}%s{{ end }}'
_REACH: Final = 7200
"""Seconds before that moment that a dashboard shows."""
_BEHIND: Final = 300
"""Seconds after a finding that it shows."""
_SINCE: Final = "24h"


class Board(NamedTuple):
    """The dashboard that an alert links to.

    ``variable`` is its variable for the host, or ``instance``; ``labelled``: the host is a label of
    the alert; ``moment`` is the time (s) to show, in PromQL.
    """

    uid: str
    variable: str
    labelled: bool = False
    moment: str = ""

    def name_host(self, text: str) -> str:
        """Prefix a template with the definition of ``$host``: its name, else the instance."""
        if "$host" not in text:
            return text
        if self.labelled:
            return (
                _BY_LABEL % '{{ $host = "other hosts" }}'
                + '{{ if not $host }}{{ $host = "a host" }}{{ end }}'
                + text
            )
        return "{{ $host := $labels.instance }}" + _BY_INSTANCE + text

    def dashboard_url(self, base: str) -> str:
        """Return the URL of the dashboard around that moment, filtered by host."""
        if self.moment:
            begin, end = f"{self.moment} - {_REACH}", f"{self.moment} + {_BEHIND}"
        else:
            begin, end = f"time() - {_REACH}", "time()"
        url = f"{base}/d/{self.uid}?from={self._milliseconds(begin)}&to={self._milliseconds(end)}"
        if self.variable == "instance":
            return url + "{{ with $labels.instance }}&var-instance={{ . | urlquery }}{{ end }}"
        return self._find_host() + url + _parameter(f"var-{self.variable}")

    def page_url(self, base: str) -> str:
        """Return the URL of Heptad's page with the events of the host."""
        url = f"{base}/?since={_SINCE}"
        if self.variable == "instance":
            return url
        return self._find_host() + url + _parameter("host")

    def _find_host(self) -> str:
        """Return a template that sets ``$host`` to a name known in both stores, or to nothing."""
        if self.labelled:
            return _BY_LABEL % '{{ $host = "" }}'
        return '{{ $host := "" }}' + _BY_INSTANCE

    def _milliseconds(self, seconds: str) -> str:
        labels = "$labels.job $labels.instance $labels.rule" if self.moment else ""
        asked = (
            f'query (printf "1000 * ({seconds})" {labels})'
            if labels
            else (f'query "1000 * ({seconds})"')
        )
        return f'{{{{ range {asked} }}}}{{{{ printf "%.0f" .Value }}}}{{{{ end }}}}'


def _parameter(name: str) -> str:
    return f"{{{{ with $host }}}}&{name}={{{{ . | urlquery }}}}{{{{ end }}}}"


NOW: Final = Board("heptad-now", "host")
HOST: Final = Board("heptad-host", "node")
ITSELF: Final = Board("heptad-itself", "instance")


def now_at_finding(severities: str) -> Board:
    """Return the dashboard Now at the time of the newest finding of the alert's rule."""
    matched = f",severity=~'{severities}'" if severities else ""
    newest = (
        f"heptad_findings_last_timestamp_seconds{{job=%[1]q,instance=%[2]q,rule=%[3]q{matched}}}"
    )
    # over an hour, because it is missing or 0 while the aggregator starts
    moment = f"(max(max_over_time({newest}[1h])) or vector(time()))"
    return NOW._replace(labelled=True, moment=moment)


def is_absolute(url: str) -> bool:
    """Return whether a URL can be the base of links in alerts."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
    except ValueError:
        return False
    bare = not (parts.query or parts.fragment or parts.username or parts.password)
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \"'`<>{}\\^|?#@")
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port_is_valid
        and bare
        and plain
    )
