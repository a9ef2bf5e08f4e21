"""GNU Hurd's acceptance scenarios (docs/hurd.md)."""
