"""The capability model in Coq: checked, extracted, compiled, and run as a process that takes one operation a line.

It needs ``coqc``, ``ocamlfind`` and ``ocamlopt`` (Debian: ``coq``). Without them nothing here runs, and says so.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

SOURCES = Path(__file__).parent / "coq"
PROOFS = ("Capabilities.v", "Descent.v")
"""What is proved, each file on top of those before; the first is the model."""
EXTRACTION, STEPS = "Extraction.v", "steps.ml"
TOOLS = ("coqc", "ocamlfind", "ocamlopt")
_THEOREM = re.compile(r"^Theorem (\w+)", re.MULTILINE)
_ESCAPES = re.compile(r"\b(Admitted|admit|Axiom|Parameter|Conjecture)\b")


class Node(NamedTuple):
    """A slot of the model's state. ``parent`` is None at a root; of a cap to an object ``detail`` is (rights, badge).

    Of an untyped it is (bytes used, 0). Addresses and sizes in bytes.
    """

    parent: int | None
    original: bool
    base: int
    size: int
    is_object: bool
    detail: tuple[int, int]


State = dict[int, Node]
"""Slot → what is in it, parents before their children."""


class ProofError(Exception):
    """A proof does not go through, or leaves something out: what the checker said."""


def missing_tools() -> list[str]:
    """Which of the programs that are needed are not there."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def theorems() -> list[str]:
    """The names of what is proved."""
    return [name for proof in PROOFS for name in _THEOREM.findall((SOURCES / proof).read_text())]


def build(folder: Path) -> Path:
    """Check all proofs in a folder of one's own and compile the extracted model; returns the program.

    Raises ProofError if a proof fails, is left out, or rests on an axiom.
    """
    for name in (*PROOFS, EXTRACTION, STEPS):
        text = (SOURCES / name).read_text()
        if name.endswith(".v") and (found := _ESCAPES.search(text)):
            raise ProofError(f"{SOURCES / name}: {found[1]} is no proof")
        (folder / name).write_text(text)
    asked = "".join(f"Print Assumptions {name}.\n" for name in theorems())
    (folder / "Assumptions.v").write_text(f"Require Import {' '.join(Path(name).stem for name in PROOFS)}.\n{asked}")
    for name in PROOFS:
        _run(folder, "coqc", "-q", name)
    said = _run(folder, "coqc", "-q", "Assumptions.v")
    if said.count("Closed under the global context") != len(theorems()):
        raise ProofError(f"some theorem rests on an assumption:\n{said}")
    _run(folder, "coqc", "-q", EXTRACTION)
    _run(folder, "ocamlfind", "ocamlopt", "model.mli", "model.ml", STEPS, "-o", "steps")
    return folder / "steps"


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProofError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Model:
    """The running model, which begins with one untyped in slot 0. To be used in a ``with`` statement."""

    def __init__(self, program: Path, base: int, size: int) -> None:
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._say(f"{base} {size}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def perform(self, name: str, *arguments: int) -> State:
        """Perform an operation of ``steps.ml``; returns the state afterwards."""
        self._say(" ".join((name, *map(str, arguments))))
        assert self._process.stdout is not None
        state: State = {}
        for part in self._process.stdout.readline().strip().split(";")[:-1]:
            slot, parent, original, base, size, is_object, *detail = map(int, part.split())
            above = None if parent < 0 else parent
            state[slot] = Node(above, bool(original), base, size, bool(is_object), (detail[0], detail[1]))
        return state


def workspace() -> tempfile.TemporaryDirectory[str]:
    """A folder to build in, which goes away afterwards."""
    return tempfile.TemporaryDirectory(prefix="capkernel-proofs-")
