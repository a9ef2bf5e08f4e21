"""docs/mach.md: its example is what runs, and does what is said there."""

from importlib.resources import files
from pathlib import Path

from capkernel.tools.demo.stage import Stage

PAGE = Path(__file__).parents[2] / "docs" / "mach.md"


def test_the_example_is_the_program_and_runs_as_the_page_says() -> None:
    page = PAGE.read_text()
    for name in ("upper_server", "upper_client"):
        source = (Path(str(files("servers.mach.clients"))) / f"{name}.py").read_text()
        assert source.split('"""\n', 1)[1].strip() in page, name
    programs = {"server": "upper_server.elf", "client": "upper_client.elf", "third": "bystander.elf"}
    stage = Stage("mach_tasks", programs=programs)
    assert stage.run_until(lambda: bool(stage.words("client_report", 1)[0]), 100_000)
    said = stage.run(time_us=1).output
    stage.close()
    assert said == "500: A TEXT\n-1: 501 is no request of this server's\n"
    assert all(line in page for line in said.splitlines())
