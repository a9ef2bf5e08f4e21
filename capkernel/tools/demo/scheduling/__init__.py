"""What the scheduling policies promise, measured (docs/scheduling.md)."""
