"""Programs for the demonstrations."""
