"""The configuration: read from YAML into typed structures, every fault reported with its place."""
