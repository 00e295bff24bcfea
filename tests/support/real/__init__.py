"""Real daemons for the tests: sshd, rsyslog, journald, sudo and others in a private namespace."""
