"""Fuzzing: programs as byte strings, one decoder for all who make up bytes, and the drivers that feed them in."""
