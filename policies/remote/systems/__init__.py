"""Descriptions of machines with a gateway."""
