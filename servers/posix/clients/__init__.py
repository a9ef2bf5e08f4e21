"""Programs under the POSIX server, and one beside it."""
