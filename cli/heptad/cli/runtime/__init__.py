"""How a service runs: signals, supervised workers, reload, systemd."""
