"""An import hook that plants a defect: it edits the source of a module as that is imported.

Nothing on disk changes, and edited modules neither read nor leave byte code. All of ``capkernel.kernel`` is then
loaded from source, as a compiled kernel would not see the edit, and so is all else that is compiled together with it.
So it must come first, in a process of its own.
"""

import linecache
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType

from specs.bugs.model import Bug, Edit

_COMPILED = (
    "capkernel.kernel.", "specs.invariants.", "specs.programs.loading",
    "specs.fuzz.coverage", "specs.fuzz.decoder", "specs.fuzz.records", "specs.fuzz.rewind",
)  # fmt: skip
"""What may have been compiled together: what of it was not edited must not know the compiled rest."""
_PLANTING = "from specs.bugs.catalogue import BUGS\nfrom specs.bugs.hook import plant\n\n"


class AnchorError(Exception):
    """A row's anchor does not occur exactly once in the source that it is to edit."""


def edited(source: str, edits: Sequence[Edit], row: str, path: str) -> str:
    """The source with all edits made. Raises AnchorError, which names the row, the file and the anchor."""
    for edit in edits:
        count = source.count(edit.anchor)
        if count != 1:
            raise AnchorError(
                f"{row}: in {path} the anchor occurs {count} times instead of once; the kernel has changed under it, "
                f"so look at what the row plants there now:\n{edit.anchor}"
            )
        source = source.replace(edit.anchor, edit.replacement)
    return source


class _Planter(SourceFileLoader):
    """Loads one module from its source, edited."""

    def __init__(self, fullname: str, path: str, row: str, edits: Sequence[Edit]) -> None:
        super().__init__(fullname, path)
        self._row, self._edits = row, edits

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile the edited source; tracebacks show its lines."""
        source = edited(self.get_data(self.path).decode(), self._edits, self._row, self.path)
        name = f"{self.path} with {self._row}"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        return compile(source, name, "exec", dont_inherit=True)


class Planting(MetaPathFinder):
    """Finds the modules that may be compiled as source, the edited ones with their edits."""

    def __init__(self, bug: type[Bug]) -> None:
        self.row = bug.id()
        self._edits: dict[str, list[Edit]] = {}
        for edit in bug.edits:
            self._edits.setdefault(edit.module, []).append(edit)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Only modules that may be compiled, and those that are edited, are found here."""
        edits = self._edits.get(fullname)
        if path is None or (edits is None and not fullname.startswith(_COMPILED)):
            return None
        for folder in path:
            spec = FileFinder(folder, (SourceFileLoader, [".py"])).find_spec(fullname)
            if spec is not None and spec.origin is not None:
                if edits is not None:
                    spec.loader = _Planter(fullname, spec.origin, self.row, edits)
                    spec.cached = None
                return spec
        return None


def plant(bug: type[Bug]) -> None:
    """Plant a defect in the kernel that this process is going to import.

    Raises RuntimeError if (some of) what is to be edited was imported already, AnchorError at the import of a module
    that has changed under the row.
    """
    names = {edit.module for edit in bug.edits}
    early = sorted(n for n in sys.modules if n in names or n.startswith(_COMPILED))
    if early:
        raise RuntimeError(f"{bug.id()} comes too late: {early[0]} was imported already; use a fresh process")
    sys.meta_path.insert(0, Planting(bug))


def planting(script: str) -> str:
    """The script of a program that was found in this process: it plants first what is planted here, if anything is."""
    rows = [finder.row for finder in sys.meta_path if isinstance(finder, Planting)]
    lines = [f'plant(BUGS["{row}"])  # What is shown; before anything imports the kernel.\n\n' for row in rows]
    return script.replace("from specs.", _PLANTING + "".join(lines) + "from specs.", 1) if rows else script
