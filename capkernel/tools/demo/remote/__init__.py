"""Demonstrations of gateways: several simulated machines on one wire."""
