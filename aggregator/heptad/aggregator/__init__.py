"""The aggregator: stored events become findings and reports."""
