"""The system of the POSIX server."""
