"""From a Microkit 2.3 ``.system`` description to a ``SystemDescription``.

``load`` and ``loads`` judge as Microkit's own tool does when it reads a description: the XML,
the prefill files, and, for program images that are present, their symbols. They raise one
``DescriptionError`` with every reason they find.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import Factory, define, evolve

from capkernel.system.board import DEFAULT_BOARD, DEFAULT_CONFIG, Board
from capkernel.system.context import Context
from capkernel.system.description import (
    Channel,
    DomainSchedule,
    IoAddressSpace,
    MemoryRegion,
    ProtectionDomain,
    SystemDescription,
)
from capkernel.system.diagnostics import DescriptionError, Diagnostic, Location
from capkernel.system.images import check_images
from capkernel.system.page_sizes import grow_pages
from capkernel.system.read_channels import read_channel
from capkernel.system.read_devices import IoSpaces, read_io_address_space
from capkernel.system.read_domains import read_domains
from capkernel.system.read_pds import read_protection_domain
from capkernel.system.read_regions import read_region
from capkernel.system.rules import RULES, Case
from capkernel.system.xmlsource import Element, parse_xml

PD_TAG = "protection_domain"
REGION_TAG = "memory_region"


def load(
    path: Path,
    *,
    search_path: Sequence[Path] = (),
    board: Board = DEFAULT_BOARD,
    config: str = DEFAULT_CONFIG,
) -> SystemDescription:
    """Read the description in the file ``path``.

    ``search_path`` is where prefill files and program images are looked for, in order; the
    directory of the file is not added. Raises ``DescriptionError`` when it is refused,
    ``OSError`` when it cannot be read, ``UnknownBoardError`` for an unknown ``config``.
    """
    return loads(path.read_bytes(), str(path), search_path=search_path, board=board, config=config)


def loads(
    text: str | bytes,
    name: str = "<description>",
    *,
    search_path: Sequence[Path] = (),
    board: Board = DEFAULT_BOARD,
    config: str = DEFAULT_CONFIG,
) -> SystemDescription:
    """The same for a text; ``name`` stands for the file name in messages."""
    platform = board.platform(config)
    root = parse_xml(text, name)
    return read_system(root, name, Context(platform=platform, search_path=search_path))


def read_system(root: Element, name: str, context: Context) -> SystemDescription:
    """Judge an element tree, from a file or a builder; ``DescriptionError`` when refused."""
    if root.tag != "system":
        message = f"the outermost element is <{root.tag}>, but must be <system>"
        raise DescriptionError([Diagnostic(root.where, message)])
    parts = _read_elements(root, context)
    system = _assemble(name, context, parts)
    case = Case(
        system=system,
        where=root.where,
        pd_count=sum(1 for _ in _pd_elements(root)),
        declared_pds=_names(_pd_elements(root)),
        declared_regions=_names(child for child in root.children if child.tag == REGION_TAG),
        problems=context.problems,
    )
    for rule in RULES:
        rule(case)
    context.problems.raise_if_any()
    system = grow_pages(system, frozenset(parts.fixed_pages))
    check_images(system, context)
    context.problems.raise_if_any()
    return evolve(system, remarks=tuple(context.problems.remarks))


@define
class _System:
    """What was read so far."""

    pds: list[ProtectionDomain] = Factory(list)
    regions: list[MemoryRegion] = Factory(list)
    fixed_pages: set[str] = Factory(set)
    channels: list[Channel] = Factory(list)
    spaces: list[IoAddressSpace] = Factory(list)
    io_spaces: IoSpaces = Factory(IoSpaces)
    schedule: DomainSchedule | None = None


def _read_elements(root: Element, context: Context) -> _System:
    """Read every element; channels last, as their ends name protection domains."""
    if root.text_at is not None:
        context.problems.error(root.text_at, "there is text directly inside <system>", "delete it")
    parts = _System()
    context.read_children(
        root,
        {
            PD_TAG: lambda child: parts.pds.extend(read_protection_domain(context, child)),
            REGION_TAG: lambda child: _read_region(context, child, parts),
            "channel": lambda child: None,
            "virtual_machine": lambda child: context.attributes(child).error(
                "a virtual machine must stand inside a protection domain"
            ),
            "domains": lambda child: _read_domains(context, child, parts),
            "io_address_space": lambda child: _read_space(context, child, parts),
        },
    )
    names = {name for name, _ in _names(_pd_elements(root))}
    for child in root.children:
        channel = read_channel(context, child, names) if child.tag == "channel" else None
        parts.channels += [channel] if channel else []
    return parts


def _read_region(context: Context, element: Element, parts: _System) -> None:
    region = read_region(context, element)
    if region is None:
        return
    parts.regions.append(region)
    if "page_size" in element.attributes:
        parts.fixed_pages.add(region.name)


def _read_domains(context: Context, element: Element, parts: _System) -> None:
    if context.domains:
        context.attributes(element).error("the domains are declared twice")
        return
    parts.schedule = read_domains(context, element)


def _read_space(context: Context, element: Element, parts: _System) -> None:
    space = read_io_address_space(context, element, parts.io_spaces)
    parts.spaces += [space] if space else []


def _assemble(name: str, context: Context, parts: _System) -> SystemDescription:
    return SystemDescription(
        name=name,
        platform=context.platform,
        protection_domains=tuple(parts.pds),
        memory_regions=tuple(parts.regions),
        channels=tuple(parts.channels),
        io_address_spaces=tuple(parts.spaces),
        domains=tuple(context.domains.values()),
        schedule=parts.schedule if context.domains else None,
    )


def _pd_elements(element: Element) -> Iterator[Element]:
    """All protection domains below ``element``, in file order, parents first."""
    for child in element.children:
        if child.tag == PD_TAG:
            yield child
            yield from _pd_elements(child)


def _names(elements: Iterable[Element]) -> tuple[tuple[str, Location], ...]:
    """The names that elements have, with their places."""
    named = ((element.attributes.get("name"), element.where) for element in elements)
    return tuple((name, where) for name, where in named if name is not None)
