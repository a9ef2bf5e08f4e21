"""One explained refusal, for people (``text``) and for programs (``data``)."""

from attrs import frozen

from capkernel.tools.explain.faults import Entry
from capkernel.tools.explain.grantors import Grantor
from capkernel.tools.explain.missing import Missing, Place, plain
from capkernel.tools.explain.walk import Walk

STOPPED = "it has no fault handler and stopped"
"""An outcome: nobody will ever answer the fault."""


@frozen
class Subject:
    """The cap in question: where it lies, in words, and as capDL writes it."""

    place: Place
    words: str
    notation: str


@frozen
class Link:
    """One ancestor in the derivation tree."""

    place: Place
    words: str

    def __str__(self) -> str:
        return f"{self.place}: {self.words}"


@frozen
class Explanation:
    """Why something was refused.

    ``entry`` counts kernel entries, ``time`` is in ticks; ``refusal`` is the error or fault by its name, ``code`` its
    number and ``words`` what came with it; ``outcome`` says what became of the thread. ``path`` has a walk for each
    cap that was looked up, ``entries`` the page table entries of a memory access.
    """

    entry: int
    time: int
    who: str
    thread: int
    operation: str
    arguments: dict[str, int]
    refusal: str
    code: int
    words: tuple[int, ...]
    outcome: str
    path: tuple[Walk, ...]
    entries: tuple[Entry, ...]
    cap: Subject | None
    missing: Missing
    derived_from: tuple[Link, ...]
    could_grant: tuple[Grantor, ...]

    @property
    def is_final(self) -> bool:
        """Whether it ended the thread."""
        return self.outcome == STOPPED

    def text(self) -> str:
        """For people: a few lines."""
        lines = [f"{self.who}: {self.operation}{self._arguments()} was refused: {self.refusal}; {self.outcome}"]
        lines += [f"  missing:      {self.missing.says}"]
        if self.cap is not None:
            lines.append(f"  cap:          {self.cap.words}   [{self.cap.notation}] in {self.cap.place}")
        for walk in self.path:
            lines.append(f"  path:         {walk.what} at {walk.address:#x}")
            lines += [f"                  {level}" for level in walk.levels]
        lines += [f"  page tables:  {entry}" for entry in self.entries]
        lines += [f"  derived from: {link}" for link in self.derived_from]
        lines += [f"  could help:   {grantor}" for grantor in self.could_grant]
        if self.missing.grantable and not self.could_grant:
            lines.append("  could help:   nobody needs to: the caller itself can ask otherwise, or nobody can")
        return "\n".join(lines)

    def _arguments(self) -> str:
        listed = ", ".join(f"{name}={value:#x}" for name, value in self.arguments.items())
        return f"({listed})" if listed else ""

    def data(self) -> dict[str, object]:
        """For JSON."""
        return {
            "entry": self.entry, "time": self.time, "who": self.who, "thread": self.thread,
            "operation": self.operation, "arguments": dict(self.arguments), "refusal": self.refusal,
            "code": self.code, "words": list(self.words), "outcome": self.outcome,
            "path": [walk.data() for walk in self.path], "entries": [str(entry) for entry in self.entries],
            "cap": None if self.cap is None else plain(self.cap), "missing": self.missing.data(),
            "derived_from": [str(link) for link in self.derived_from],
            "could_grant": [plain(grantor) for grantor in self.could_grant],
        }  # fmt: skip
