"""InfluxDB 1.x (from 1.6), 2.x and 3.x by what they have in common: line protocol and InfluxQL."""
