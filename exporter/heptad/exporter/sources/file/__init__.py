"""Log files, read through every rotation."""
