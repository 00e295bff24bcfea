"""Set up and check the InfluxDB server; for administrators."""
