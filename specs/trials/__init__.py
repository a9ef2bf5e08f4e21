"""What must hold of whole runs: liveness (L2–L6), and two runs compared (H1–H4, H6–H10). Each is asked of a seed.

L1, and of L6 what one step can show, are invariants of steps. H5 compares two CPU models, L7 is about one of them: the
process CPU, which does not exist yet.
"""

from specs.trials import company, progress, repeating, undoing
from specs.trials.model import Trial

_MODULES = (company, progress, repeating, undoing)
TRIALS: dict[str, Trial] = {check.id: check for module in _MODULES for check in module.CHECKS}

__all__ = ["TRIALS", "Trial"]
