"""The command line; the only package that combines exporter and aggregator."""
