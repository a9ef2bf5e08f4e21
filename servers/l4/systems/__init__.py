"""Descriptions of whole systems."""
