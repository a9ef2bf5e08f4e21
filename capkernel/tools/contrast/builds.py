"""The two builds: which system, which domain has the code in it that goes wrong, and where its client is."""

from typing import Final

from attrs import frozen


@frozen
class Build:
    """One of the two, with files on a disk. ``variants`` of the system: as it is shipped, and to be measured."""

    name: str
    system: str
    faulty: str
    client: str
    exposed: tuple[str, ...]
    """Programs whose code can write the client's memory."""
    variant: str
    measured_variant: str

    @property
    def measured_programs(self) -> dict[str, str]:
        """What runs in place of the description's programs to be measured."""
        return {"client": "measured.elf"} if self.faulty != self.client else {}


ISOLATED: Final = Build("isolated", "storage", "disk", "client", ("block_writer",), "unasked", "unasked")
ONE_DOMAIN: Final = Build(
    "one domain", "monolith", "monolith", "monolith", ("linked", "virtio_blk", "file_server", "block_writer"), "",
    "measured",
)  # fmt: skip
BUILDS: Final = ISOLATED, ONE_DOMAIN
ALONE: Final = "alone"
"""The variant of the monolith that nobody starts anew."""
SECOND_BOARD: Final = "virt_sifive"
