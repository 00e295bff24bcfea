"""Log files, through every rotation."""
