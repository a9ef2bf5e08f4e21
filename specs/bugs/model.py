"""What a row of the catalogue is. Nothing here, and nothing in the catalogue, imports the kernel.

A row is a class: its docstring is the story, whose first line is the short form of it. Classes are never instantiated.
"""

from typing import ClassVar, NamedTuple


class Edit(NamedTuple):
    """In the source of ``module`` the one occurrence of ``anchor`` becomes ``replacement``."""

    module: str
    anchor: str
    replacement: str


class Row:
    """A row of the catalogue.

    ``origin`` is where it was: a project and the commit or issue that mended it. ``caught_by`` are the names of
    invariants, any of which may be the first to notice; the table's own come first. ``note`` says why they are others
    than the table's, where they are.
    """

    origin: ClassVar[str] = ""
    caught_by: ClassVar[tuple[str, ...]] = ()
    note: ClassVar[str] = ""

    @classmethod
    def id(cls) -> str:
        """The row's name: S1, S2, …"""
        return cls.__name__

    @classmethod
    def title(cls) -> str:
        """The story in a few words."""
        return (cls.__doc__ or "").strip().split("\n")[0].rstrip(".")


class Bug(Row):
    """A defect that can be planted."""

    edits: ClassVar[tuple[Edit, ...]] = ()


class Impossible(Row):
    """A defect whose mechanism this kernel lacks: ``reason`` says which, ``shown_by`` names the test."""

    reason: ClassVar[str] = ""
    shown_by: ClassVar[str] = ""


class Faithful(Row):
    """A property of real seL4 that is ours as well: demonstrated by a program, mended by the option ``mended_by``."""

    mended_by: ClassVar[str]


class Elsewhere(Row):
    """A defect of something that is not this kernel: ``reason`` says of what."""

    reason: ClassVar[str] = ""
