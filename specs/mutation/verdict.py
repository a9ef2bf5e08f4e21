"""What came of a mutant."""

from dataclasses import dataclass

KILLED, TIMED_OUT, SURVIVED, SAME = VERDICTS = "killed", "timed out", "survived", "same code"


@dataclass(frozen=True)
class Verdict:
    """One of ``VERDICTS``: by which case, why, and after how many cases and seconds of processor time."""

    verdict: str
    by: str = ""
    why: str = ""
    cases: int = 0
    seconds: float = 0.0
