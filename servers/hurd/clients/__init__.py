"""Programs that use the library: one side of each scenario."""
