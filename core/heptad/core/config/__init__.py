"""The configuration: YAML parsed into typed structures; every error is reported with its place."""
