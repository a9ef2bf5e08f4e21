"""Programs that are scheduled, and that look on: for the demonstrations."""
