"""Which symbols of a protection domain's program are set, to what, in Microkit's order."""

from collections.abc import Iterator
from enum import Enum

from attrs import frozen

from capkernel.system.description import FilePrefill, ProtectionDomain, SystemDescription
from capkernel.system.diagnostics import Location


class ValueKind(Enum):
    """What a symbol is set to."""

    MAP_ADDRESS = "setvar_vaddr"
    REGION_SIZE = "setvar_size"
    PREFILL_SIZE = "setvar_prefill_size"
    REGION_PADDR = "region_paddr"
    ID = "setvar_id"
    PORT_ADDRESS = "setvar_addr"


@frozen(kw_only=True)
class SymbolPatch:
    """One symbol (a 64-bit word) and what it is set to.

    ``value`` is known from the description, except a region's physical address that is only
    chosen at boot (``None``); ``region`` names the region that the value is about, if any.
    """

    symbol: str
    kind: ValueKind
    where: Location
    value: int | None = None
    region: str | None = None


def symbol_patches(system: SystemDescription, pd: ProtectionDomain) -> tuple[SymbolPatch, ...]:
    """Every symbol of the program of ``pd`` that the description sets."""
    return (*_of_maps(system, pd), *_of_ids(system, pd), *_of_addresses(system, pd))


def _of_maps(system: SystemDescription, pd: ProtectionDomain) -> Iterator[SymbolPatch]:
    for map_ in pd.maps:
        size, prefill = _sizes(system, map_.region)
        for symbol, kind, value in (
            (map_.setvar_vaddr, ValueKind.MAP_ADDRESS, map_.vaddr),
            (map_.setvar_size, ValueKind.REGION_SIZE, size),
            (map_.setvar_prefill_size, ValueKind.PREFILL_SIZE, prefill),
        ):
            if symbol is not None:
                yield SymbolPatch(symbol=symbol, kind=kind, value=value, region=map_.region, where=map_.where)


def _of_ids(system: SystemDescription, pd: ProtectionDomain) -> Iterator[SymbolPatch]:
    ends = [own for own, _ in system.ends(pd.name)]
    children = [(c.setvar_id, c.child_id, c.where) for c in system.children(pd.name)]
    numbered = [(t.setvar_id, t.id, t.where) for t in (*pd.irqs, *pd.ioports, *ends)]
    for symbol, value, where in (*numbered, *children):
        if symbol is not None:
            yield SymbolPatch(symbol=symbol, kind=ValueKind.ID, value=value, where=where)


def _of_addresses(system: SystemDescription, pd: ProtectionDomain) -> Iterator[SymbolPatch]:
    for port in pd.ioports:
        if port.setvar_addr is not None:
            yield SymbolPatch(
                symbol=port.setvar_addr,
                kind=ValueKind.PORT_ADDRESS,
                value=port.addr,
                where=port.where,
            )
    regions = {region.name: region for region in system.memory_regions}
    for setvar in pd.setvars:
        region = regions.get(setvar.region)
        yield SymbolPatch(
            symbol=setvar.symbol,
            kind=ValueKind.REGION_PADDR,
            value=region.phys_addr if region else None,
            region=setvar.region,
            where=setvar.where,
        )


def _sizes(system: SystemDescription, name: str) -> tuple[int | None, int | None]:
    """The size of a region and of its file prefill, ``None`` where there is none."""
    for region in system.memory_regions:
        if region.name == name:
            prefill = region.prefill
            return region.size, len(prefill.data) if isinstance(prefill, FilePrefill) else None
    return None, None
