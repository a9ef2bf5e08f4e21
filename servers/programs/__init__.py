"""Programs that are started while the system runs, by a text ``#!capkernel NAME`` in a file."""
