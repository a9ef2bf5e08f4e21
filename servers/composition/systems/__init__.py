"""The description of the composed system."""
