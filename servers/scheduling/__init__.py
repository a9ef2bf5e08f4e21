"""Scheduling policies in user space: who runs next, decided on scheduling contexts alone (docs/scheduling.md)."""
