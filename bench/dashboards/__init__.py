"""The cost of the dashboards' queries with ten and with a thousand hosts."""
