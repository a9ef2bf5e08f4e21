"""Programs and tables for domains that are linked in tests."""
