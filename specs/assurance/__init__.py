"""What is claimed of this kernel, how each claim is checked, and what came of the runs: ``docs/assurance.md``."""
