"""Facility and severity as syslog daemons write them: ``auth.info``."""

from typing import Final

SEVERITY: Final = (
    r"(?:kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|ntp|security|audit"
    r"|console|alert|clock|solaris-cron|remoteauth|install|local[0-7])"
    r"[.|](?:emerg|panic|alert|crit|err|error|warning|warn|notice|info|debug)"
)
"""A regular expression."""
