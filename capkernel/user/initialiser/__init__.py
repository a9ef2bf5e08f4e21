"""The initial task of a described system: it builds everything by ordinary invocations, and stays as the monitor."""
