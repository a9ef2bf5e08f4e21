"""The kernel held against the abstract kernel, step by step: same events, same answers, same states."""
