"""The scenarios of Mach."""
