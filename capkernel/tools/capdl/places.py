"""Where in an untyped its objects go: those with an address there, the others into what is left, large ones first."""

from capkernel.abi import objects as obj
from capkernel.system.capdl.model import Object, Spec

Block = tuple[int, int]
"""Physical address and log2 size."""

_SIZES = {
    "tcb": obj.TCB_BITS, "ep": obj.ENDPOINT_BITS, "notification": obj.NOTIFICATION_BITS, "rtreply": obj.REPLY_BITS,
    "pt": obj.PAGE_TABLE_BITS, "asid_pool": obj.ASID_POOL_BITS,
}  # fmt: skip


def size_bits(thing: Object, covered: int = 0) -> int:
    """log2 of the bytes of an object. What has no size gets the least; an untyped, room for ``covered`` bytes."""
    match thing.kind:
        case "ut":
            return thing.number("bits") or max(obj.MIN_UNTYPED_BITS, (2 * covered - 1).bit_length() if covered else 0)
        case "cnode":
            return thing.number("bits") + obj.SLOT_BITS
        case "sc":
            return max(thing.number("bits"), obj.MIN_SCHED_CONTEXT_BITS)
        case "frame":
            return thing.number("size")
        case _:
            return _SIZES[thing.kind]


def sizes_in(spec: Spec) -> dict[str, int]:
    """log2 of the bytes of each object of a specification: an untyped is as large as what it covers makes it."""
    inside: dict[str, list[str]] = {}
    for child, parent in spec.covers.items():
        inside.setdefault(parent, []).append(child)
    found: dict[str, int] = {}

    def size(name: str) -> int:
        if name not in found:
            found[name] = size_bits(spec.objects[name], sum(1 << size(child) for child in inside.get(name, ())))
        return found[name]

    return {name: size(name) for name, thing in spec.objects.items() if thing.kind != "irq"}


def place(base: Block, fixed: dict[str, Block], others: dict[str, int]) -> dict[str, int]:
    """An address for each object. Raises ValueError if they do not fit."""
    free = _free(base, sorted(fixed.values()))
    found = {name: address for name, (address, _) in fixed.items()}
    for name in sorted(others, key=lambda name: -others[name]):
        found[name] = _take(free, others[name], name)
    return found


def _free(block: Block, taken: list[Block]) -> list[Block]:
    """What is left of a block, as naturally aligned blocks."""
    address, bits = block
    end = address + (1 << bits)
    inside = [t for t in taken if t[0] < end and address < t[0] + (1 << t[1])]
    if not inside:
        return [block]
    if inside[0][1] >= bits or bits <= obj.MIN_UNTYPED_BITS:
        return []
    half = bits - 1
    return [*_free((address, half), inside), *_free((address + (1 << half), half), inside)]


def _take(free: list[Block], bits: int, name: str) -> int:
    """Cut the smallest block that is large enough."""
    fitting = [block for block in free if block[1] >= bits]
    if not fitting:
        raise ValueError(f"no room of 2**{bits} bytes is left for {name}")
    block = min(fitting, key=lambda found: (found[1], found[0]))
    free.remove(block)
    address, size = block
    while size > bits:
        size -= 1
        free.append((address + (1 << size), size))
    return address


def fillers(start: int, end: int) -> list[int]:
    """The sizes of naturally aligned blocks that lead from one address to another."""
    found = []
    while start < end:
        bits = min((start & -start).bit_length() - 1 if start else 63, (end - start).bit_length() - 1)
        found.append(bits)
        start += 1 << bits
    return found
