"""Normalization: a log record becomes a 7W event."""
