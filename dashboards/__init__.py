"""The Grafana dashboards as code: `python -m dashboards` writes the JSON that Heptad ships.

One module a dashboard; `panels` holds what they share, `influxql` the queries for InfluxDB.
"""
