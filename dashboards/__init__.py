"""The Grafana dashboards as code: `python -m dashboards` writes the JSON files.

Each dashboard is one module; `panels` has shared panels, `influxql` the InfluxDB queries.
"""
