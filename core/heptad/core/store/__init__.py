"""The stores: what they have in common, and SQLite files as the stores of one host."""
