"""Programs that use the servers: those of the demonstrations."""
