"""The exporter runs on every host: log sources become 7W events, counters and host metrics."""
