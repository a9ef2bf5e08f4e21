"""POSIX as one server: processes with file descriptors, paths and pipes, over caps."""
