"""The system's description, read again: what the initial task gave to each domain, in words.

The initial task builds the system from this very text, so it is what a domain had at its start; what it got since by
asking others is not in it.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from capkernel.protocols.failures import Corrupt, NotFound

_GRANT: Final = "capkernel grant "
_OWNER: Final = "capkernel owner "
_OBJECTS: Final = {
    "reply": "a reply object: one more caller can be kept waiting", "vspace": "its own address space",
    "asid_pool": "an ASID pool: numbers for address spaces of its making",
}  # fmt: skip
_CAPS: Final = {"cap_tcb": "the TCB", "cap_sc": "the scheduling context", "cap_vspace": "the address space"}


class Description:
    """The text of a ``.system`` file. Raises Corrupt if it is none."""

    def __init__(self, text: str) -> None:
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_pis=True))
        try:
            self.root = ElementTree.fromstring(text, parser)
        except ElementTree.ParseError as error:
            raise Corrupt(f"the system's description cannot be read: {error}") from None
        self.domains = {each.get("name", ""): each for each in self.root.iter("protection_domain")}
        said = [each.text or "" for each in self.root.iter() if not isinstance(each.tag, str)]
        self.grants = [_attributes(each[len(_GRANT) :]) for each in said if each.startswith(_GRANT)]
        self.owners = [_attributes(each[len(_OWNER) :]) for each in said if each.startswith(_OWNER)]

    def callers(self, domain: str) -> list[str]:
        """The domains that were given a cap to call this one."""
        found = {caller for caller, called, calls, _ in self._ends() if called == domain and calls}
        found |= {
            each["pd"] for each in self.grants
            if each["kind"] == "endpoint" and each.get("of") == domain != each["pd"]
        }  # fmt: skip
        return sorted(found)

    def called_by(self, domain: str) -> list[str]:
        """The domains that this one was given a cap to call."""
        return sorted(other for other in self.domains if domain in self.callers(other))

    def place_of(self, domain: str, region: str) -> int | None:
        """Where a domain has a memory region mapped, if it has."""
        for each in self.domains[domain].findall("map"):
            if each.get("mr") == region:
                return int(each.get("vaddr", ""), 0)
        return None

    def caps_of(self, name: str) -> list[str]:
        """What a domain was given, a line each. Raises NotFound."""
        if name not in self.domains:
            raise NotFound(f"no domain {name!r} is in the description; there are {', '.join(sorted(self.domains))}")
        lines = Counter(self._lines(name))
        return [f"{line}{f' (×{times})' if times > 1 else ''}" for line, times in lines.items()]

    def _lines(self, name: str) -> Iterator[str]:
        domain = self.domains[name]
        for parent in self.domains.values():
            if domain in parent.findall("protection_domain"):
                yield f"its faults go to {parent.get('name')}, which has its TCB"
        regions = {each.get("name"): each for each in self.root.iter("memory_region")}
        for each in domain.findall("map"):
            region = regions.get(each.get("mr"))
            place = region.get("phys_addr") if region is not None else None
            what = f"device frames {each.get('mr')} at {place}" if place else f"memory {each.get('mr')}"
            yield f"{what}: {each.get('perms', 'rw')}"
        for each in domain.findall("irq"):
            yield f"the IRQ handler of interrupt {each.get('irq')}, on channel {each.get('id')}"
        yield from self._io_spaces(name)
        for each in domain.findall("cspace/*"):
            yield f"{_CAPS.get(str(each.tag), str(each.tag))} of {each.get('pd')}"
        for one, other, calls, notifies in self._ends():
            if one == name and (calls or notifies):
                yield f"{' and '.join(['call'] * calls + ['notify'] * notifies)} {other}"
        for grant in self.grants:
            if grant["pd"] == name:
                yield _words(grant)

    def _io_spaces(self, name: str) -> Iterator[str]:
        """The I/O address spaces that are a domain's: what its devices reach by DMA, and nothing besides."""
        spaces = {each.get("name"): each for each in self.root.iter("io_address_space")}
        for owner in self.owners:
            space = spaces.get(owner.get("io_address_space"))
            if owner.get("pd") != name or space is None:
                continue
            mapped = space.findall("iomap")
            device = f"the I/O address space {space.get('name')} of device {space.get('peripheral_id')}"
            yield f"{device}: {'in it is mapped' if mapped else 'nothing is mapped in it'}"
            for each in mapped:
                yield f"  memory {each.get('mr')} at {each.get('iovaddr')}: {each.get('perms', 'rw')}"

    def _ends(self) -> Iterator[tuple[str, str, bool, bool]]:
        """Both sides of each channel: who, to whom, whether he may call, whether he may notify."""
        for channel in self.root.iter("channel"):
            one, other = channel.findall("end")
            for mine, theirs in ((one, other), (other, one)):
                calls, notifies = mine.get("pp") == "true", mine.get("notify", "true") == "true"
                yield mine.get("pd", ""), theirs.get("pd", ""), calls, notifies


def _attributes(text: str) -> dict[str, str]:
    return dict(ElementTree.fromstring(f"<grant {text}/>").attrib)


def _words(grant: dict[str, str]) -> str:
    kind, of, lasts = grant["kind"], grant.get("of", ""), ", which outlives it" if grant.get("lasts") == "yes" else ""
    if kind == "endpoint":
        if of == grant["pd"]:
            return "its own endpoint, to make badged caps of"
        return f"call {of}, and hand over caps (rights {grant.get('rights', 'RWGP')})"
    if kind == "notification":
        return f"the notification of {of}, rights {grant.get('rights', 'RW')}"
    if kind == "cnode":
        return "its own CNode, to receive caps" if of == grant["pd"] else f"the CNode of {of}"
    if kind == "lifecycle":
        return f"a lifecycle cap: {of} can be destroyed, rebuilt as described, and started"
    if kind == "slots":
        return f"{1 << int(grant.get('size_bits', '8'))} empty slots{lasts}"
    if kind == "untyped":
        return f"{1 << int(grant.get('size_bits', '12'))} bytes of untyped memory{lasts}"
    if kind == "time":
        return f"a scheduling context to give away: {grant['budget']} of every {grant['period']} µs"
    return _OBJECTS.get(kind, kind)
