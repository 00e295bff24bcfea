"""InfluxDB 1.x (from 1.6), 2.x and 3.x through what they share: line protocol and InfluxQL."""
