"""docs/interfaces.md says what the definitions say."""

from capkernel.protocols.interface import Interface, operation
from capkernel.protocols.reference import PAGE, defined, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(defined()), (
        "interfaces have changed: run `.venv/bin/python -m capkernel.protocols.reference` and commit docs/interfaces.md"
    )


def test_the_page_has_every_interface_of_the_package_and_no_other() -> None:
    class Foreign(Interface, number=60900):
        @operation(1)
        async def ask(self, what: list[int] | None) -> tuple[bool, ...]:
            """Ask ``it`` | that."""
            return ()

    assert Foreign not in defined()
    assert {each.number for each in defined()} >= {1, 2, 3, 4, 32, 36}
    assert "`ask(what: list[int] or None) → tuple[bool, ...]` | Ask `it` \\| that. |" in page([Foreign])
