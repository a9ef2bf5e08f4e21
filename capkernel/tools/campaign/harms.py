"""What a fault may do to others."""

from enum import StrEnum
from typing import Final


class Harm(StrEnum):
    """Something that is not as it should be. The last two may come of programs that are spoilt and go on."""

    GAVE_UP = "the simulation gave up"
    INVARIANT = "an invariant of the kernel does not hold"
    STOPPED = "a domain stopped for good"
    DIED = "the client died"
    HANG = "the client hangs"
    ERROR = "the client saw an error"
    LOST = "acknowledged data is lost"


TOLERATED: Final = frozenset((Harm.ERROR, Harm.LOST))
"""What programs may do that are spoilt and go on, if nothing protects from it."""
UNPROMISED: Final = TOLERATED | {Harm.DIED, Harm.HANG, Harm.STOPPED}
"""What may happen to a client who shares a domain with everybody else; nothing of it is the kernel's fault."""
