"""All reachable states of small systems on the real kernel, and what must hold of each (``docs/exploration.md``)."""
