"""Where a thing stands in a description, what is wrong with it, and how to say so.

Readers and rules never raise one by one: they note every problem in a ``Problems`` and the
loader raises a single ``DescriptionError`` that carries all of them in file order.
"""

from collections.abc import Iterable, Iterator

from attrs import Factory, define, field, frozen


@frozen(order=True)
class Location:
    """A place in a source file: 1-based line and column, 0 when not known."""

    file: str = "<builder>"
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """The ``file:line:column`` form that editors and terminals make clickable."""
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")


NOWHERE = Location()


@frozen
class Diagnostic:
    """One thing that is wrong: where, what, and (``hint``) what would be right."""

    where: Location
    message: str
    hint: str = ""

    @property
    def file(self) -> str:
        """The file the problem is in."""
        return self.where.file

    @property
    def line(self) -> int:
        """The 1-based line of the problem, 0 when not known."""
        return self.where.line

    def __str__(self) -> str:
        """One line: place, message, and the hint in brackets."""
        return f"{self.where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class DescriptionError(Exception):
    """A description was refused; ``diagnostics`` holds every reason that was found."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keep the reasons in file order."""
        self.diagnostics = tuple(sorted(diagnostics, key=lambda d: d.where))
        super().__init__("\n".join(str(d) for d in self.diagnostics))


@define
class Problems:
    """Collects what is wrong (``errors``) and what is accepted but suspect (``remarks``)."""

    errors: list[Diagnostic] = field(default=Factory(list))
    remarks: list[Diagnostic] = field(default=Factory(list))

    def error(self, where: Location, message: str, hint: str = "") -> None:
        """Note a reason to refuse the description."""
        self.errors.append(Diagnostic(where, message, hint))

    def remark(self, where: Location, message: str, hint: str = "") -> None:
        """Note something that Microkit accepts silently but that will not do what it says."""
        self.remarks.append(Diagnostic(where, message, hint))

    def mark(self) -> int:
        """A point in time; pass it to ``clean_since``."""
        return len(self.errors)

    def clean_since(self, mark: int) -> bool:
        """Whether nothing was refused since ``mark``."""
        return len(self.errors) == mark

    def raise_if_any(self) -> None:
        """Raise ``DescriptionError`` with all errors, if there are any."""
        if self.errors:
            raise DescriptionError(self.errors)

    def __iter__(self) -> Iterator[Diagnostic]:
        """The errors."""
        return iter(self.errors)
