"""Network interfaces: /proc/net/dev (proc_pid_net(5)) and /sys/class/net.

The kernel's Documentation/ABI/testing/sysfs-class-net describes the attributes.
"""

import os
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, kind_of, read, read_attribute

EXCLUDED = frozenset({"lo"})  # only from the traffic counters, like Debian's node_exporter

_DEVICE = ("device",)
_BYTES_PER_MBIT = 125_000

InterfaceRow = tuple[Sequence[str], float]


def _traffic(name: str, text: str) -> Family:
    return Family(f"node_network_{name}_total", "counter", text, _DEVICE)


def _property(name: str, text: str) -> Family:
    return Family(f"node_network_{name}", kind_of(name), text, _DEVICE)


# the columns of /proc/net/dev, in order
_TRAFFIC: tuple[Family, ...] = (
    _traffic("receive_bytes", "Bytes received."),
    _traffic("receive_packets", "Packets received."),
    _traffic("receive_errs", "Packets received with an error."),
    _traffic("receive_drop", "Packets received and dropped, or missed by the interface."),
    _traffic("receive_fifo", "FIFO overruns while receiving."),
    _traffic("receive_frame", "Packets received with wrong length, CRC or frame."),
    _traffic("receive_compressed", "Compressed packets received."),
    _traffic("receive_multicast", "Multicast packets received."),
    _traffic("transmit_bytes", "Bytes sent."),
    _traffic("transmit_packets", "Packets sent."),
    _traffic("transmit_errs", "Packets that could not be sent."),
    _traffic("transmit_drop", "Packets dropped instead of sent."),
    _traffic("transmit_fifo", "FIFO underruns while sending."),
    _traffic("transmit_colls", "Collisions."),
    _traffic("transmit_carrier", "Carrier, heartbeat, window and abort errors while sending."),
    _traffic("transmit_compressed", "Compressed packets sent."),
)
_NO_HANDLER = _traffic("receive_nohandler", "Packets received for an unknown protocol.")

# attribute of /sys/class/net/<device> → family
_PROPERTIES: dict[str, Family] = {
    "addr_assign_type": _property("address_assign_type", "How the address was assigned."),
    "carrier": _property("carrier", "1 if the link is up."),
    "carrier_changes": _property("carrier_changes_total", "Changes of the link."),
    "carrier_up_count": _property("carrier_up_changes_total", "Times the link came up."),
    "carrier_down_count": _property("carrier_down_changes_total", "Times the link went down."),
    "dev_id": _property("device_id", "Distinguishes interfaces that share an address."),
    "dormant": _property("dormant", "1 if up, but waiting for an event."),
    "flags": _property("flags", "The IFF_ bits, netdevice(7)."),
    "ifindex": _property("iface_id", "The interface's number."),
    "iflink": _property("iface_link", "Number of the interface it is linked to."),
    "link_mode": _property("iface_link_mode", "0 default, 1 dormant."),
    "mtu": _property("mtu_bytes", "Largest packet."),
    "name_assign_type": _property("name_assign_type", "How the name was assigned."),
    "netdev_group": _property("net_dev_group", "The interface's group."),
    "speed": _property("speed_bytes", "Speed in bytes per second, negative if unknown."),
    "tx_queue_len": _property("transmit_queue_length", "Longest queue for sending, packets."),
    "type": _property("protocol_type", "The ARPHRD_ type, if_arp.h."),
}
_UP = _property("up", "1 if the operational state is 'up'.")
_TEXTS = ("address", "broadcast", "duplex", "operstate", "ifalias")
_INFO = Family(
    "node_network_info",
    "gauge",
    "Always 1; the texts of /sys/class/net/<device>.",
    ("device", *_TEXTS),
)
FAMILIES: tuple[Family, ...] = (*_TRAFFIC, _NO_HANDLER, *_PROPERTIES.values(), _UP, _INFO)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file."""
    yield from _counters(host)
    yield from _states(host)


def _counters(host: HostRoots) -> Iterator[Metric]:
    columns: list[list[InterfaceRow]] = [[] for _ in _TRAFFIC]
    unhandled: list[InterfaceRow] = []
    for line in read(f"{host.proc}/net/dev").split("\n")[2:-1]:
        name, _, numbers = line.lstrip(" ").partition(":")
        if name in EXCLUDED:
            continue
        device = (name,)
        for rows, number in zip(columns, numbers.split(), strict=True):
            rows.append((device, float(int(number))))
        if count := read_attribute(f"{host.sys}/class/net/{name}/statistics/rx_nohandler"):
            unhandled.append((device, float(int(count))))
    for family, rows in zip(_TRAFFIC, columns, strict=True):
        yield family.metric(rows)
    yield _NO_HANDLER.metric(unhandled)


def _states(host: HostRoots) -> Iterator[Metric]:
    rows: dict[str, list[InterfaceRow]] = {name: [] for name in _PROPERTIES}
    up: list[InterfaceRow] = []
    infos: list[InterfaceRow] = []
    for name in _devices(f"{host.sys}/class/net"):
        try:
            attributes = _attributes(f"{host.sys}/class/net/{name}")
        except OSError:  # it was removed meanwhile
            continue
        up.append(((name,), float(attributes.get("operstate") == "up")))
        infos.append(((name, *(attributes.get(text, "") for text in _TEXTS)), 1.0))
        for key, values in rows.items():
            if value := attributes.get(key):
                factor = _BYTES_PER_MBIT if key == "speed" else 1
                values.append(((name,), float(int(value, 0) * factor)))
    for key, family in _PROPERTIES.items():
        yield family.metric(rows[key])
    yield _UP.metric(up)
    yield _INFO.metric(infos)


def _devices(base: str) -> list[str]:
    """Files next to the devices, such as bonding_masters, are skipped."""
    with os.scandir(base) as entries:
        return sorted(entry.name for entry in entries if not entry.is_file(follow_symlinks=False))


def _attributes(path: str) -> dict[str, str]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        values = ((name, read_attribute(name, folder)) for name in (*_TEXTS, *_PROPERTIES))
        return {name: value for name, value in values if value is not None}
    finally:
        os.close(folder)
