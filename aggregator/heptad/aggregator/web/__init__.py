"""The page: events, attempts, findings and health of one host or a small fleet, in a browser.

``page`` answers requests; each view is a module. Views only read the stores, read no more than they
show, and end within a time budget.
"""
