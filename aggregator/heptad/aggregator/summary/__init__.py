"""The report for people: as text, and as one HTML file."""
