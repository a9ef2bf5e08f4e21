"""What every reader of an element is handed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import Factory, define

from capkernel.system.attributes import Attributes, either
from capkernel.system.board import Platform
from capkernel.system.description import Domain
from capkernel.system.diagnostics import Problems
from capkernel.system.xmlsource import Element


@define
class Context:
    """The platform that is judged for, where files are looked for, and what was wrong so far.

    ``domains`` are those declared *before* the element that is being read: in a description
    a protection domain can only name a domain that stands above it.
    """

    platform: Platform
    search_path: Sequence[Path] = ()
    problems: Problems = Factory(Problems)
    domains: dict[str, Domain] = Factory(dict)

    def attributes(self, element: Element) -> Attributes:
        """A reader of the attributes of ``element``."""
        return Attributes(element, self.problems)

    def read_children(self, element: Element, readers: "Mapping[str, Callable[[Element], object]]") -> None:
        """Give each child to the reader for its tag; refuse a child that has none."""
        for child in element.children:
            reader = readers.get(child.tag)
            if reader is None:
                self.unknown(child, element, tuple(readers))
            else:
                reader(child)

    def unknown(self, child: Element, parent: Element, known: Sequence[str]) -> None:
        """Refuse an element that may not stand where it does."""
        self.problems.error(
            child.where,
            f"<{child.tag}> may not stand in <{parent.tag}>",
            f"allowed here: {either(known)}" if known else "",
        )

    def find(self, path: str) -> Path | None:
        """The first file (or directory) of that name along the search path."""
        return next(filter(_exists, (place / path for place in self.search_path)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
