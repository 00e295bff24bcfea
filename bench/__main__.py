"""``make bench``: run all benchmarks; results are ratios where there is a comparison."""

import os
from pathlib import Path

from bench import (
    backlog,
    delivery,
    finding_latency,
    findings,
    flood,
    hosts,
    influxdb_reading,
    instructions,
    page,
    scrape,
    tailing,
    telegraf,
    throughput,
)


def main() -> None:
    """Run the benchmarks; those that need real logs are skipped if the logs are missing."""
    instructions.main(os.environ.get("BENCH_REVISION"))
    hosts.main()
    tailing.main()
    finding_latency.main()
    scrape.main([])
    findings.main()
    flood.main()
    influxdb_reading.main()
    backlog.main()
    page.main()
    telegraf.main()
    data = Path(os.environ.get("HEPTAD_SHARED_DATA", "../shared/data"))
    if data.is_dir():
        throughput.main(data)
        delivery.main(data)
    else:
        print(f"throughput: skipped, no logs in {data}; set HEPTAD_SHARED_DATA to their directory")


if __name__ == "__main__":
    main()
