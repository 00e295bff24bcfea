"""The source that reads the systemd journal."""
