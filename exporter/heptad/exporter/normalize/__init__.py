"""A log record becomes a 7W event."""
