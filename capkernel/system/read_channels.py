"""Reader of ``channel`` elements."""

from collections.abc import Collection

from capkernel.system.context import Context
from capkernel.system.description import Channel, ChannelEnd
from capkernel.system.read_devices import MAX_CHANNEL_ID
from capkernel.system.xmlsource import Element


def read_channel(context: Context, element: Element, pds: Collection[str]) -> Channel | None:
    """A channel between two of ``pds`` (names), or ``None`` when refused."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    attributes.only()
    ends: list[ChannelEnd] = []
    context.read_children(element, {"end": lambda child: ends.append(_read_end(context, child, pds))})
    if len(element.children) != 2:
        attributes.error(f"it has {len(ends)} <end> elements, but a channel has exactly two")
    if len(ends) != 2:
        return None
    if ends[0].pp and ends[1].pp:
        attributes.error("both ends may call the other (pp), which would deadlock", "only one end may have pp")
    channel = Channel(a=ends[0], b=ends[1], where=element.where)
    return channel if context.problems.clean_since(mark) else None


def _read_end(context: Context, element: Element, pds: Collection[str]) -> ChannelEnd:
    attributes = context.attributes(element)
    attributes.only("pd", "id", "pp", "notify", "setvar_id")
    attributes.no_content()
    pd = attributes.required("pd")
    if attributes.get("pd") is not None and pd not in pds:
        attributes.error(f"there is no protection domain '{pd}'")
    return ChannelEnd(
        pd=pd,
        id=attributes.bounded("id", 0, MAX_CHANNEL_ID),
        pp=attributes.flag("pp", default=False),
        notify=attributes.flag("notify", default=True),
        setvar_id=attributes.get("setvar_id"),
        where=element.where,
    )
