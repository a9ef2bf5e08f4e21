"""The abstract kernel: what seL4 does, as dicts and pure functions. Imports only ``capkernel.abi``."""
