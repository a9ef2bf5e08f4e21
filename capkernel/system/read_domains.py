"""Reader of the ``domains`` element: scheduling domains and their schedule."""

from attrs import Factory, define

from capkernel.system.attributes import Attributes, either, parse_number
from capkernel.system.context import Context
from capkernel.system.description import (
    Domain,
    DomainSchedule,
    DurationUnit,
    ScheduleEnd,
    ScheduleEntry,
)
from capkernel.system.xmlsource import Element


@define
class _Declarations:
    """What was declared so far; ``id`` is ``None`` for a domain that wants any."""

    ids: dict[str, int | None] = Factory(dict)
    where: dict[str, Element] = Factory(dict)
    schedule: Element | None = None


def read_domains(context: Context, element: Element) -> DomainSchedule | None:
    """The schedule, or ``None`` when refused; the domains are put into ``context.domains``."""
    mark = context.problems.mark()
    attributes = context.attributes(element)
    attributes.only()
    if context.platform.cores != 1:
        attributes.error(
            f"config {context.platform.config} has {context.platform.cores} cores, and seL4 has "
            "no domain scheduler on several cores",
            "use a config without 'smp-'",
        )
    declared = _Declarations()
    context.read_children(
        element,
        {
            "domain": lambda child: _read_domain(context, child, declared),
            "domain_schedule": lambda child: _note_schedule(context, child, declared),
        },
    )
    context.domains.update(_number(context, attributes, declared))
    schedule = None
    if declared.schedule is None:
        attributes.error("it has no <domain_schedule>")
    else:
        schedule = _read_schedule(context, declared.schedule)
    return schedule if context.problems.clean_since(mark) else None


def _read_domain(context: Context, element: Element, declared: _Declarations) -> None:
    attributes = context.attributes(element)
    attributes.only("name", "id")
    attributes.no_content()
    name, number = attributes.required("name"), attributes.optional_number("id")
    limit = context.platform.domains
    if number is not None and number >= limit:
        attributes.error(f"id {number} is too high: the kernel has {limit} domains, from 0 on")
    if name in declared.ids:
        attributes.error(f"the domain '{name}' is already declared in line {declared.where[name].where.line}")
    elif number is not None and number in declared.ids.values():
        other = next(known for known, taken in declared.ids.items() if taken == number)
        attributes.error(f"the domain '{other}' already has the id {number}")
    declared.ids.setdefault(name, number)
    declared.where.setdefault(name, element)


def _note_schedule(context: Context, element: Element, declared: _Declarations) -> None:
    if declared.schedule is not None:
        context.attributes(element).error("the domain schedule is given twice")
    declared.schedule = declared.schedule or element


def _number(context: Context, attributes: Attributes, declared: _Declarations) -> dict[str, Domain]:
    """Give the domains without an id the smallest free ones, in file order.

    Microkit's own tool hands out one id too many: the last one is accepted in silence.
    """
    limit = context.platform.domains
    free = (number for number in range(limit + 1) if number not in declared.ids.values())
    domains: dict[str, Domain] = {}
    for name, wanted in declared.ids.items():
        number = wanted if wanted is not None else next(free, None)
        if number is None:
            attributes.error(f"{len(declared.ids)} domains are too many: the kernel has {limit}")
            number = 0
        elif number == limit and wanted is None:
            attributes.remark(f"the domain '{name}' gets id {limit}, which the kernel has not got")
        domains[name] = Domain(name=name, id=number, where=declared.where[name].where)
    return domains


def _read_schedule(context: Context, element: Element) -> DomainSchedule:
    attributes = context.attributes(element)
    attributes.only("index_shift", "start_index")
    entries: list[ScheduleEntry | ScheduleEnd] = []
    context.read_children(
        element,
        {
            "schedule_entry": lambda child: entries.append(_read_entry(context, child)),
            "schedule_end_marker": lambda child: entries.append(_read_end(context, child)),
        },
    )
    schedule = DomainSchedule(
        entries=tuple(entries),
        start_index=attributes.number("start_index", 0),
        index_shift=attributes.optional_number("index_shift"),
        where=element.where,
    )
    _check_length(context, attributes, schedule)
    return schedule


def _check_length(context: Context, attributes: Attributes, schedule: DomainSchedule) -> None:
    length, limit = len(schedule.entries), context.platform.domain_schedules
    if length >= limit:
        attributes.error(f"{length} entries are too many: the kernel has room for {limit - 1}")
    if schedule.start_index >= length:
        attributes.error(f"start_index {schedule.start_index} is past the end: there are {length} entries")
    if schedule.index_shift is not None and schedule.index_shift + length >= limit:
        attributes.error(
            f"index_shift {schedule.index_shift} and {length} entries reach past the kernel's {limit} schedule entries"
        )


def _read_end(context: Context, element: Element) -> ScheduleEnd:
    attributes = context.attributes(element)
    attributes.only()
    attributes.no_content()
    return ScheduleEnd(where=element.where)


def _read_entry(context: Context, element: Element) -> ScheduleEntry:
    attributes = context.attributes(element)
    attributes.only("domain", "duration")
    attributes.no_content()
    domain = attributes.required("domain")
    if attributes.get("domain") is not None and domain not in context.domains:
        attributes.error(f"the domain '{domain}' is not declared")
    duration, unit = _read_duration(attributes)
    return ScheduleEntry(domain=domain, duration=duration, unit=unit, where=element.where)


def _read_duration(attributes: Attributes) -> tuple[int, DurationUnit]:
    """A number, one space, a unit."""
    text = attributes.required("duration")
    stand_in = 1, DurationUnit.MICROSECONDS
    if attributes.get("duration") is None:
        return stand_in
    digits, space, unit = text.partition(" ")
    value = parse_number(digits)
    units = {member.value: member for member in DurationUnit}
    if not space or value is None or unit not in units:
        attributes.error(
            f"the duration '{text}' is not a number, one space and a unit",
            f"for example '1000 us'; units are {either(units)}",
        )
        return stand_in
    if value == 0:
        attributes.error(f"the duration '{text}' is zero")
    return value, units[unit]
