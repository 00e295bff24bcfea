"""Delivery from the local store to InfluxDB, with an exactly-once effect."""
