"""Ready-made files for Prometheus, Grafana and other services."""
