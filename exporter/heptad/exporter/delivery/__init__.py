"""From the local store to InfluxDB: exactly once in effect."""
