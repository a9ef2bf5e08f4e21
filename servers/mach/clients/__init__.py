"""Tasks for the demonstrations."""
