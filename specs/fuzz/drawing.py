"""Byte strings that Hypothesis draws at once.

Its own provider asks before each byte whether there is to be another: 0.35 µs and more, of 16 bytes a step a quarter of
all that a step costs. This is another (Hypothesis' "alternative backends"), for strings of which the length says little
and each byte much: any length that is allowed, each as likely, and then all bytes together. Strings that may be longer
than ``LONGEST``, as those of which nobody says how long they may be, are drawn as by its own. Hypothesis still decides
which strings to try, runs again what has failed, and shrinks it, by its own means.
"""

from typing import Final

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

BACKEND: Final = "bytes-at-once"
"""For ``hypothesis.settings(backend=…)``."""
LONGEST: Final = 1 << 16
"""Bytes of a string that is drawn at once."""


class BytesAtOnce(HypothesisProvider):
    """Hypothesis' own provider but for byte strings."""

    def draw_bytes(self, min_size: int = 0, max_size: int = LONGEST) -> bytes:
        """A string of ``min_size`` to ``max_size`` bytes."""
        if max_size > LONGEST:
            return super().draw_bytes(min_size, max_size)
        assert self._random is not None
        return self._random.randbytes(self._random.randint(min_size, max_size))


AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.{BytesAtOnce.__name__}"
