"""Reader of ``virtual_machine`` elements, and of the scheduling attributes they share with
protection domains.
"""

from capkernel.system.attributes import Attributes
from capkernel.system.board import Arch
from capkernel.system.context import Context
from capkernel.system.description import Map, Scheduling, VirtualCpu, VirtualMachine
from capkernel.system.read_devices import MAX_CHANNEL_ID
from capkernel.system.read_regions import read_map
from capkernel.system.xmlsource import Element

DEFAULT_BUDGET = 1000
MAX_PRIORITY = 254
_MAX_CPU = 255


def read_scheduling(attributes: Attributes, priority: int) -> Scheduling:
    """Budget and period in microseconds; the period is the budget when it is absent."""
    budget = attributes.number("budget", DEFAULT_BUDGET)
    period = attributes.number("period", budget)
    if budget > period:
        attributes.error(f"budget {budget} is more than period {period}", "a budget is a share of a period")
    return Scheduling(priority=priority, budget=budget, period=period)


def read_cpu(context: Context, attributes: Attributes) -> int:
    """The number of a core, 0 when absent."""
    cpu, cores = attributes.number("cpu", 0), context.platform.cores
    if cpu >= cores:
        hint = "configs with 'smp-' have more" if cores == 1 else ""
        number = "number 0 only" if cores == 1 else f"numbers 0 to {cores - 1}"
        attributes.error(f"cpu {cpu} does not exist: {context.platform.config} has {number}", hint)
    return min(cpu, _MAX_CPU)


def read_guest(context: Context, element: Element) -> VirtualMachine | None:
    """A virtual machine, or ``None`` when refused."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    if not context.platform.hypervisor:
        attributes.error(f"virtual machines need a hypervisor, which {context.platform.board} "
                         f"in config {context.platform.config} has not got")  # fmt: skip
        return None
    vcpus: list[VirtualCpu] = []
    maps: list[Map | None] = []
    end = context.platform.guest_map_end
    context.read_children(
        element,
        {
            "vcpu": lambda child: _read_vcpu(context, child, vcpus),
            "map": lambda child: maps.append(read_map(context, child, end, setvars=False)),
        },
    )
    if not any(child.tag == "vcpu" for child in element.children):
        attributes.error("it has no <vcpu>")
    if context.platform.arch.is_x86 and len(vcpus) > 1:
        attributes.remark("on x86-64 a virtual machine has one vcpu; the system cannot be built")
    guest = VirtualMachine(
        name=attributes.required("name"),
        vcpus=tuple(vcpus),
        maps=tuple(map_ for map_ in maps if map_),
        scheduling=_guest_scheduling(context, attributes),
        where=element.where,
    )
    return guest if context.problems.clean_since(mark) else None


def _guest_scheduling(context: Context, attributes: Attributes) -> Scheduling | None:
    if context.platform.arch is not Arch.AARCH64:
        attributes.only("name")
        return None
    attributes.only("name", "budget", "period", "priority")
    priority = attributes.number("priority", 0)
    if priority > MAX_PRIORITY:
        attributes.remark(f"priority {priority} is cut to 8 bits: {priority % 256}")
    return read_scheduling(attributes, priority % 256)


def _read_vcpu(context: Context, element: Element, vcpus: list[VirtualCpu]) -> None:
    mark = context.problems.mark()
    attributes = context.attributes(element)
    attributes.only("id", "setvar_id", "cpu")
    attributes.no_content()
    vcpu = VirtualCpu(
        id=attributes.bounded("id", 0, MAX_CHANNEL_ID),
        cpu=None if attributes.get("cpu") is None else read_cpu(context, attributes),
        setvar_id=attributes.get("setvar_id"),
        where=element.where,
    )
    if vcpu.setvar_id is not None:
        attributes.remark("Microkit 2.3 takes no notice of setvar_id here")
    if not context.problems.clean_since(mark):
        return
    if any(vcpu.id == other.id for other in vcpus):
        attributes.error(f"the virtual machine already has a vcpu with id {vcpu.id}")
    vcpus.append(vcpu)
