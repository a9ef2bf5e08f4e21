"""Programs that are domains of their own elsewhere, linked into one: requests are calls, and nobody is apart."""
