"""The page: events, attempts, findings and health of one host or a small fleet, in a browser.

``page`` answers requests; each view has a file of its own. Every view reads the stores, never
writes, touches only what it shows, and ends within its budget of time.
"""
