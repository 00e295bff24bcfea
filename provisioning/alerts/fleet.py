"""Recording rules for dashboards over hours and days, where raw series would be too many."""

from typing import Final

from provisioning.alerts.rule import Recording, RuleGroup

_INFO: Final = 'heptad_host_info{job="<exporter_job>"}'
_NAME: Final = f"{_INFO} or on (instance) last_over_time({_INFO}[1h])"
"""The current name of a host, else its last one."""
_NAMED: Final = f"* on (instance) group_left (host, job)\n  topk by (instance) (1, {_NAME})"


def _added(metric: str, *labels: str, where: str = "") -> str:
    """Return by how much a counter grew in five minutes, or in an outage of up to an hour.

    Does not use `increase`, which extrapolates: these values add up exactly.
    """
    counter = f'{metric}{{job="<exporter_job>"{where}}}'
    return (
        f"sum by (job, instance, {', '.join(labels)}) (\n"
        f"  {counter}\n"
        f"  - last_over_time({counter}[1h] offset 5m) > 0\n"
        ")"
    )


FLEET: Final = RuleGroup(
    "heptad-fleet",
    "What the dashboards show over time, by the name of the host. Evaluated every 5 minutes, so "
    "that a dashboard over 30 days and 1,000 hosts loads within seconds. Without this file, the "
    "panels of logins over time, load and filesystems are empty.",
    (
        Recording(
            "heptad:host_up",
            "max by (job, instance, host) (\n"
            '  up{job="<exporter_job>"} * on (instance) group_left (host)\n'
            "  topk by (instance) (1,\n"
            f"    {_NAME}\n"
            "    or on (instance) last_over_time(heptad:host_up[15m]) >= bool 0\n"
            "    or on (instance) last_over_time(heptad:host_up[1d]) >= bool 0\n"
            "  )\n"
            ")",
            "1 if Prometheus can scrape the host's exporter, 0 if not; a host that is down keeps "
            "its name for as long as it is a target",
        ),
        Recording(
            "heptad:logins:increase5m",
            _added("auth_events_total", "program", "method", "outcome", where=', action="login"')
            + f"\n{_NAMED}",
            "logins of these 5 minutes, if there are any; after an outage of up to an hour, also "
            "those of the outage. Not computed with `increase`, which extrapolates, so the values "
            "add up exactly",
        ),
        Recording(
            "heptad:lines:increase5m",
            _added("heptad_lines_total", "result"),
            "lines by result, in the same way",
        ),
        Recording(
            "heptad:lines_not_understood:increase5m",
            _added("heptad_lines_not_understood_total", "program"),
            "lines that no rule understood, in the same way",
        ),
        Recording(
            "heptad:delivered:increase5m",
            _added("heptad_delivery_events_total", "result"),
            "events that left the local store, in the same way",
        ),
        Recording(
            "heptad:load:per_cpu",
            "max by (instance) (node_load5)\n"
            "/ on (instance) count by (instance) (\n"
            '  count by (instance, cpu) (node_cpu_seconds_total{mode="idle"})\n'
            f")\n{_NAMED}",
            "number of tasks per CPU, averaged over 5 minutes",
        ),
        Recording(
            "heptad:disk:fullest",
            "1 - min by (instance) (\n"
            '  node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|squashfs|iso9660|erofs"}\n'
            "  / node_filesystem_size_bytes\n"
            f")\n{_NAMED}",
            "the used share of the host's fullest filesystem",
        ),
    ),
    interval="5m",
)
