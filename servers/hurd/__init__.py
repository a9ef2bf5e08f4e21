"""GNU Hurd's way of doing things, as a library and programs in user space (docs/hurd.md)."""
