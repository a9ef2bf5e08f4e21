"""Say whether lwIP is there; the exit status says the same."""

import sys

from servers.net.lwip import AVAILABLE, WHY_NOT

print("lwIP is there" if AVAILABLE else WHY_NOT)
sys.exit(not AVAILABLE)
