"""Parsing: header, timestamp and program of a log line, and the rules for its message."""
