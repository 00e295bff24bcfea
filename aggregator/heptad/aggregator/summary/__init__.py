"""The report of `heptad report`, as text and as one HTML file."""
