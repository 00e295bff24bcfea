"""What Prometheus and its like need to start ready-made."""
