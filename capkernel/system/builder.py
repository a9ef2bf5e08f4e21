"""Descriptions made by a Python program instead of a file.

    system = SystemBuilder()
    buffer = system.memory_region("buffer", size=0x1000)
    server = system.protection_domain("server", program="server.elf", priority=100)
    client = system.protection_domain("client", program="client.elf", priority=50)
    client.map(buffer, vaddr=0x200_0000, perms="r")
    system.channel(client, server, pp="a")
    description = system.build()

Attributes have the names of the file format and are given by keyword. The builder makes the
element tree that the file would be read into, so the very same rules judge it; a complaint
names the line of the program that made the element.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import Factory, define, field

from capkernel.system.board import DEFAULT_BOARD, DEFAULT_CONFIG, Board
from capkernel.system.context import Context
from capkernel.system.description import SystemDescription
from capkernel.system.diagnostics import Location
from capkernel.system.microkit import read_system
from capkernel.system.writer import Value, attribute_text, element_to_xml
from capkernel.system.xmlsource import Element

End = Literal["a", "b"]


def _caller() -> Location:
    """Where the program called the builder."""
    frame = sys._getframe(1)
    while _is_ours(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)


def _is_ours(filename: str) -> bool:
    """Whether a frame belongs to the builder: this module or an initialiser that attrs made."""
    return filename == __file__ or filename.startswith("<attrs")


@define
class Node:
    """An element in the making."""

    tag: str
    attributes: dict[str, str] = Factory(dict)
    children: list["Node"] = Factory(list)
    where: Location = Factory(_caller)

    def add(self, tag: str, /, **attributes: Value) -> "Node":
        """Append a child; attributes that are ``None`` are left out."""
        texts = {name: attribute_text(value) for name, value in attributes.items()}
        given = {name: text for name, text in texts.items() if text is not None}
        child = Node(tag, given, where=_caller())
        self.children.append(child)
        return child

    def freeze(self) -> Element:
        """The finished element."""
        children = tuple(child.freeze() for child in self.children)
        return Element(self.tag, dict(self.attributes), children, self.where)


@define
class RegionBuilder:
    """A memory region; pass it where a region's name is wanted."""

    name: str


@define
class GuestBuilder:
    """A virtual machine in the making."""

    node: Node

    def vcpu(self, id: int, **attributes: Value) -> None:
        """Add a virtual CPU; attribute ``cpu``."""
        self.node.add("vcpu", id=id, **attributes)

    def map(self, region: RegionBuilder | str, *, vaddr: int, **attributes: Value) -> None:
        """Map a region; attributes ``perms`` and ``cached``."""
        self.node.add("map", mr=_name(region), vaddr=hex(vaddr), **attributes)


@define
class IoSpaceBuilder:
    """An I/O address space in the making."""

    node: Node

    def iomap(self, region: RegionBuilder | str, *, iovaddr: int, **attributes: Value) -> None:
        """Let the device reach a region; attribute ``perms``."""
        self.node.add("iomap", mr=_name(region), iovaddr=hex(iovaddr), **attributes)


@define
class PdBuilder:
    """A protection domain in the making."""

    name: str
    node: Node
    used_ids: set[int] = field(default=Factory(set))

    def map(self, region: RegionBuilder | str, *, vaddr: int, **attributes: Value) -> None:
        """Map a region; attributes ``perms``, ``cached`` and the ``setvar_`` ones."""
        self.node.add("map", mr=_name(region), vaddr=hex(vaddr), **attributes)

    def irq(self, *, id: int | None = None, **attributes: Value) -> int:
        """Receive an interrupt (``irq``, or ``pin`` or ``pcidev``); gives its channel id."""
        number = self.take_id(id)
        self.node.add("irq", id=number, **attributes)
        return number

    def ioport(self, *, id: int, addr: int, size: int, **attributes: Value) -> None:
        """Access I/O ports."""
        self.node.add("ioport", id=id, addr=hex(addr), size=size, **attributes)

    def setvar(self, symbol: str, *, region_paddr: RegionBuilder | str) -> None:
        """Set a symbol of the program to the physical address of a region."""
        self.node.add("setvar", symbol=symbol, region_paddr=_name(region_paddr))

    def cap(self, kind: Literal["tcb", "sc", "vspace"], pd: "PdBuilder | str", slot: int) -> None:
        """Hold a cap of another protection domain in a slot of the root CNode."""
        spaces = [child for child in self.node.children if child.tag == "cspace"]
        space = spaces[0] if spaces else self.node.add("cspace")
        space.add(f"cap_{kind}", slot=slot, pd=_name(pd))

    def child(self, name: str, *, id: int, program: str, **attributes: Value) -> "PdBuilder":
        """A protection domain whose faults this one handles and whose TCB it holds."""
        return _add_pd(self.node, name, program, {"id": id, **attributes})

    def virtual_machine(self, name: str, **attributes: Value) -> GuestBuilder:
        """A guest of this protection domain."""
        return GuestBuilder(self.node.add("virtual_machine", name=name, **attributes))

    def take_id(self, wanted: int | None) -> int:
        """The id that is wanted, else the smallest free one."""
        free = next(n for n in range(len(self.used_ids) + 1) if n not in self.used_ids)
        number = free if wanted is None else wanted
        self.used_ids.add(number)
        return number


@define
class SystemBuilder:
    """A system description in the making; ``board`` and ``config`` are judged for."""

    board: Board = DEFAULT_BOARD
    config: str = DEFAULT_CONFIG
    search_path: Sequence[Path] = ()
    node: Node = Factory(lambda: Node("system"))

    def memory_region(self, name: str, **attributes: Value) -> RegionBuilder:
        """Attributes ``size``, ``page_size``, ``phys_addr``, ``prefill_path``,
        ``prefill_bootinfo``.
        """
        self.node.add("memory_region", name=name, **attributes)
        return RegionBuilder(name)

    def protection_domain(self, name: str, *, program: str, **attributes: Value) -> PdBuilder:
        """Attributes ``priority``, ``budget``, ``period``, ``passive``, ``stack_size``,
        ``smc``, ``cpu``, ``domain``, ``fpu``, and ``path_for_symbols`` of the program.
        """
        return _add_pd(self.node, name, program, attributes)

    def channel(
        self,
        a: PdBuilder,
        b: PdBuilder,
        *,
        pp: End | None = None,
        notify: Iterable[End] = ("a", "b"),
        ids: tuple[int | None, int | None] = (None, None),
        setvar_ids: tuple[str | None, str | None] = (None, None),
    ) -> tuple[int, int]:
        """Connect two protection domains; gives the channel ids at ``a`` and ``b``.

        ``pp`` is the end that may call the other, ``notify`` the ends that may notify.
        """
        numbers = a.take_id(ids[0]), b.take_id(ids[1])
        notifying = tuple(notify)
        node = self.node.add("channel")
        for index, (letter, pd) in enumerate((("a", a), ("b", b))):
            node.add(
                "end",
                pd=pd.name,
                id=numbers[index],
                pp=pp == letter,
                notify=letter in notifying,
                setvar_id=setvar_ids[index],
            )
        return numbers

    def domains(
        self,
        domains: Mapping[str, int | None],
        schedule: Iterable[tuple[str, str] | None],
        **attributes: Value,
    ) -> None:
        """Declare domains (``None``: any id) and their schedule of (domain, duration) pairs,
        such as ``("work", "1000 us")``; ``None`` is an end marker. Attributes ``start_index``
        and ``index_shift``.
        """
        node = self.node.add("domains")
        self.node.children.insert(0, self.node.children.pop())
        for name, number in domains.items():
            node.add("domain", name=name, id=number)
        entries = node.add("domain_schedule", **attributes)
        for entry in schedule:
            if entry is None:
                entries.add("schedule_end_marker")
            else:
                entries.add("schedule_entry", domain=entry[0], duration=entry[1])

    def io_address_space(self, name: str, **attributes: Value) -> IoSpaceBuilder:
        """What a device may reach; attributes ``peripheral_id`` and ``domain_id``."""
        return IoSpaceBuilder(self.node.add("io_address_space", name=name, **attributes))

    def build(self, name: str = "<builder>") -> SystemDescription:
        """The finished description; ``DescriptionError`` when it is refused."""
        platform = self.board.platform(self.config)
        context = Context(platform=platform, search_path=self.search_path)
        return read_system(self.node.freeze(), name, context)

    def to_xml(self) -> str:
        """The description as a ``.system`` file, valid or not."""
        return element_to_xml(self.node.freeze())


def _add_pd(parent: Node, name: str, program: str, attributes: Mapping[str, Value]) -> PdBuilder:
    given = dict(attributes)
    symbols = given.pop("path_for_symbols", None)
    node = parent.add("protection_domain", name=name, **given)
    node.add("program_image", path=program, path_for_symbols=symbols)
    return PdBuilder(name, node)


def _name(thing: RegionBuilder | PdBuilder | str) -> str:
    return thing if isinstance(thing, str) else thing.name
