"""The loop that drives kernel and machine, and one file for each CPU model's glue."""
