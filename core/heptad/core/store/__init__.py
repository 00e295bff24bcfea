"""The stores: their common interface, and SQLite files as the stores of one host."""
