"""What must hold of two runs, not of one: H1–H4 and H6–H10. Each is a question about a seed.

H5 compares two CPU models of which one, the process CPU, does not exist yet.
"""

from specs.comparisons import company, repeating, undoing
from specs.comparisons.model import Comparison

_MODULES = (company, repeating, undoing)
COMPARISONS: dict[str, Comparison] = {
    check.id: check for check in sorted((c for m in _MODULES for c in m.CHECKS), key=lambda c: int(c.id[1:]))
}

__all__ = ["COMPARISONS", "Comparison"]
