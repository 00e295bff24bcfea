"""The command line: the only package that puts the parts together."""
