"""From a log line to facts: who logged it and when (header), and what it says (engine)."""
