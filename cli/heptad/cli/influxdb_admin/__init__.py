"""The server prepared for the fleet, and checked: what only an administrator does."""
