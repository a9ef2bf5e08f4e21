"""What a description says of its domains, as who judges programs before the boot is told it (``user.described``)."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from capkernel.system.badges import CHANNEL_MASK, ENDPOINT_BADGE
from capkernel.system.context import Context
from capkernel.system.description import FilePrefill, ProtectionDomain, SystemDescription
from capkernel.system.extensions import Extensions
from capkernel.system.grants import Grant, GrantKind
from capkernel.system.images import ELF_SUFFIX, find_image
from capkernel.system.symbols import symbol_patches
from capkernel.user.described import DescribedDomain, Way


def described(system: SystemDescription, said: Extensions, search_path: Sequence[Path]) -> dict[str, DescribedDomain]:
    """All domains, by name."""
    context = Context(platform=system.platform, search_path=search_path)
    return {pd.name: _domain(system, said, context, pd) for pd in system.protection_domains}


def text_of(data: bytes) -> str:
    """A table as a program reads it. Raises UnicodeDecodeError."""
    return data.rstrip(b"\0").decode()


def _domain(system: SystemDescription, said: Extensions, context: Context, pd: ProtectionDomain) -> DescribedDomain:
    paths = (pd.program.path, *(other.program for other in said.alternatives if other.pd == pd.name))
    own = [grant for grant in said.grants if grant.pd == pd.name]
    lifecycles = {grant.slot: grant.of for grant in own if grant.kind is GrantKind.LIFECYCLE}
    children = {child.child_id: child.name for child in system.children(pd.name) if child.child_id is not None}
    return DescribedDomain(
        pd.name, tuple(_installed(context, path) for path in paths),
        frozenset(patch.symbol for patch in symbol_patches(system, pd)), dict(_tables(system, pd)),
        frozenset(irq.id for irq in pd.irqs),
        {end.id: Way(other.pd, other.id, end.pp, other.pp) for end, other in system.ends(pd.name)},
        {grant.slot: _way(grant) for grant in own if grant.kind is GrantKind.ENDPOINT}, lifecycles,
        children | {grant.faults: grant.of for grant in own if grant.faults is not None},
    )  # fmt: skip


def _installed(context: Context, path: str) -> str:
    """The name of the installed program that is meant; empty if it is another one of that name on the search path."""
    found = find_image(Context(platform=context.platform), path)
    return path.removesuffix(ELF_SUFFIX) if found is not None and find_image(context, path) == found else ""


def _way(grant: Grant) -> Way | None:
    is_channel = grant.badge & ~CHANNEL_MASK == ENDPOINT_BADGE
    return Way(grant.of, grant.badge & CHANNEL_MASK, asks=True) if is_channel else None


def _tables(system: SystemDescription, pd: ProtectionDomain) -> Iterator[tuple[str, str]]:
    """What files put into a domain's memory, if it is a text: the variable that is set to where, and the text."""
    for map_ in pd.maps:
        prefill = system.region(map_.region).prefill
        if map_.setvar_vaddr and isinstance(prefill, FilePrefill):
            with suppress(UnicodeDecodeError):
                yield map_.setvar_vaddr, text_of(prefill.data)
