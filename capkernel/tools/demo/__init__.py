"""Demonstrations: acceptance scenarios told as stories, each of whose claims is checked while it is told."""
