"""Which names of a Python program can be set, found without executing it: the same that the loader sets."""

from pathlib import Path

import pytest

from capkernel.system.python_symbols import python_symbols
from capkernel.user.pdimage import load_module, variable_words


def test_names_of_the_module_of_its_class_and_of_what_that_inherits(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text("class Far:\n    far: int = 0\n    def method(self):\n        local: int = 1\n")
    program = tmp_path / "program.py"
    program.write_text(
        "from .words import Far as Base\nfrom nowhere.at.all import Nothing\nraise SystemExit\n"
        "own: int = 0\nclass Other:\n    no: int = 0\nclass Near(Base):\n    near: int\n"
        "class Program(Near, Nothing):\n    here: int = 2\n"
    )
    assert python_symbols(program) == {"own", "far", "near", "here"}


def test_classes_that_inherit_from_themselves_come_to_an_end(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from .program import Program as Again\nclass Program(Again):\n    x: int = 0\n")
    assert python_symbols(program) == {"x"}


def test_what_is_no_python_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("class Program(")
    with pytest.raises(SyntaxError):
        python_symbols(program)


SHIPPED = ("storage/file_server.py", "linked/program.py", "net/http_server.py")


@pytest.mark.parametrize("name", SHIPPED)
def test_of_shipped_programs_they_are_those_that_the_loader_sets(name: str) -> None:
    path = Path(__file__).parents[2] / "servers" / name
    module = load_module(path, "a_program_on_trial")
    symbols = python_symbols(path)
    variable_words(module, dict.fromkeys(symbols, 0))
    assert symbols
