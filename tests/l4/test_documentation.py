"""docs/l4.md: its examples are what runs, and do what is said there."""

from importlib.resources import files
from pathlib import Path

from capkernel.tools.demo.stage import Stage

PAGE = (Path(__file__).parents[2] / "docs" / "l4.md").read_text()


def test_the_examples_are_the_programs() -> None:
    for name in ("adder", "adding", "connector"):
        source = (Path(str(files("servers.l4.clients"))) / f"{name}.py").read_text()
        assert source.split('"""\n', 1)[1].strip() in PAGE, name


def test_the_example_runs_as_the_page_says() -> None:
    programs = {"teller": "l4_adder.elf", "alice": "l4_adding.elf", "bob": "bystander.elf", "mallory": "bystander.elf"}
    stage = Stage("l4_ipc", programs=programs)
    assert stage.run_until(lambda: bool(stage.words("alice_report", 1)[0]), 100_000)
    said = stage.run(time_us=1).output
    stage.close()
    assert said == "the sum is 42\n"
    assert f"`{said.strip()}`" in PAGE


def test_the_page_names_every_module_of_the_library() -> None:
    modules = [path.stem for path in Path(str(files("servers.l4"))).glob("*.py") if path.stem != "__init__"]
    assert modules
    assert [name for name in modules if f"`{name}`" not in PAGE] == []
