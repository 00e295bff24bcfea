"""What the queries of the dashboards cost with ten hosts and with a thousand."""
