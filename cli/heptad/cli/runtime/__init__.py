"""Running as a service: signals, supervised workers, reload, systemd."""
