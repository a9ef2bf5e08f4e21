"""A domain in which several programs are linked, as a table says (``table``). It is itself the domain's program."""

from types import ModuleType
from typing import Any, ClassVar

from attrs import evolve

from capkernel.user.loop import MAX_CHANNELS, PD
from capkernel.user.pdimage import load_module, variable_words
from servers.linked.domain import Domain, Member
from servers.linked.installed import file_of, need_program
from servers.linked.table import Described, read_table
from servers.neighbours import Role, Uses


class Program:
    """The domain. Its variables are those of its parts, each with the part's name before its own."""

    uses: ClassVar[Uses] = Uses(
        signals=dict.fromkeys(range(MAX_CHANNELS), Role.ANY),
        plays=dict.fromkeys(range(MAX_CHANNELS), Role.ANY),
        needs=frozenset({"parts"}),
    )
    """Interrupts and signals are as its table says."""
    parts: int = 0
    parts_size: int = 0x1000
    disk_registers: int = 0
    disk_rings: int = 0
    files_transfer: int = 0
    card_registers: int = 0
    card_rings: int = 0
    network_policy: int = 0
    network_packets: int = 0
    publisher_report: int = 0
    client_report: int = 0

    modules: ClassVar[dict[str, ModuleType]] = {}
    """The programs of the parts by name, loaded for this domain alone."""

    def __init__(self) -> None:
        self.domain: Any = None

    async def init(self, pd: PD) -> None:
        """Link the parts, and let them begin. What they wait for, comes by ``notified``."""
        table = read_table((await pd.read(self.parts, self.parts_size)).rstrip(b"\0").decode())
        self.domain = Domain(pd, [Member(part, self._module(pd, part)) for part in table])
        await self.domain.go_on()

    async def notified(self, pd: PD, ch: int) -> None:
        """Something from outside is for those parts that have this channel."""
        self.domain.hear(1 << ch)
        await self.domain.go_on()

    def _module(self, pd: PD, part: Described) -> ModuleType:
        """A part's program, with its variables set. Raises TableError, ValueError."""
        modules = type(self).modules
        if part.name not in modules:
            modules[part.name] = load_module(file_of(part), f"capkernel_pd_{pd.name}_{part.name}")
        module, prefix = modules[part.name], f"{part.name}_"
        need_program(part, module)
        mine = {name: getattr(self, name) for name in Program.__annotations__ if name.startswith(prefix)}
        settings = {name.removeprefix(prefix): value for name, value in mine.items() if value}
        evolve(pd.values, variables=variable_words(module, settings)).set_variables(module)
        return module
