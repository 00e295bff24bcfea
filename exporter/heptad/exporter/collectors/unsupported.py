"""What node_exporter exposes by default and Heptad does not, with reasons.

A test fails if a family of node_exporter's default collectors is neither exposed nor listed here.
To have these metrics, run node_exporter next to Heptad and set `host_metrics: false`.
"""

_HARDWARE = "hardware state, not logins or load"
_PROTOCOLS = "inner counters of the network stack; the interfaces' own counters are exposed"
_ITSELF = "about node_exporter itself; use heptad_collector_* and heptad_build_info"
_STORAGE = "inner counters of one storage system; disks and filesystems are exposed"
_NEWER = "newer than node_exporter 1.5, with which Heptad is compatible"
_KERNEL = "kernel state unrelated to the supported subjects"

# prefix of a family's name → why it is not exposed
UNSUPPORTED: dict[str, str] = {
    "node_arp_": _PROTOCOLS,
    "node_bcache_": _STORAGE,
    "node_bonding_": _PROTOCOLS,
    "node_btrfs_": _STORAGE,
    "node_cooling_device_": _HARDWARE,
    "node_cpu_frequency_": _HARDWARE,
    "node_cpu_info": _HARDWARE,
    "node_cpu_isolated": _NEWER,
    "node_cpu_online": _NEWER,
    "node_cpu_scaling_": _HARDWARE,
    "node_disk_device_mapper_backing_device_info": _NEWER,
    "node_dmi_": _HARDWARE,
    "node_edac_": _HARDWARE,
    "node_entropy_": _KERNEL,
    "node_exporter_": _ITSELF,
    "node_fibrechannel_": _HARDWARE,
    "node_filesystem_mount_info": _NEWER,
    "node_filesystem_purgeable_bytes": "only macOS has it",
    "node_hwmon_": _HARDWARE,
    "node_infiniband_": _HARDWARE,
    "node_ipvs_": _PROTOCOLS,
    "node_md_": _STORAGE,
    "node_netstat_": _PROTOCOLS,
    "node_nf_conntrack_": _PROTOCOLS,
    "node_nfs_": _STORAGE,
    "node_nfsd_": _STORAGE,
    "node_nvme_": _HARDWARE,
    "node_os_": "the name of the distribution is not measured; node_uname_info has the kernel's",
    "node_power_supply_": _HARDWARE,
    "node_pressure_irq_": _NEWER,
    "node_rapl_": _HARDWARE,
    "node_schedstat_": "the scheduler's own accounts; CPU times, load and pressure are exposed",
    "node_scrape_": _ITSELF,
    "node_selinux_": _KERNEL,
    "node_sockstat_": _PROTOCOLS,
    "node_softnet_": _PROTOCOLS,
    "node_systemd_": "queries D-Bus for every unit; on by default in Debian's node_exporter only",
    "node_tape_": _HARDWARE,
    "node_textfile_": _ITSELF,
    "node_thermal_zone_": _HARDWARE,
    "node_timex_offset_overflow_total": _NEWER,
    "node_udp_": _PROTOCOLS,
    "node_watchdog_": _HARDWARE,
    "node_xfs_": _STORAGE,
    "node_zfs_": _STORAGE,
}
