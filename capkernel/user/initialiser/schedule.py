"""The domain schedule."""

from capkernel.abi.bootinfo import CAP_DOMAIN
from capkernel.system.description import DurationUnit, ScheduleEntry
from capkernel.user import stubs
from capkernel.user.initialiser.plan import Plan
from capkernel.user.syscalls import Syscalls


async def set_schedule(sys: Syscalls, plan: Plan) -> None:
    """Write the domain schedule, if there is one, and start it."""
    schedule = plan.system.schedule
    if schedule is None:
        return
    first = schedule.index_shift or 0
    ids = {domain.name: domain.id for domain in plan.system.domains}
    for offset, entry in enumerate(schedule.entries):
        number, duration = 0, 0
        if isinstance(entry, ScheduleEntry):
            number, duration = ids[entry.domain], entry.duration
            if entry.unit is DurationUnit.MICROSECONDS:
                duration *= plan.ticks_per_us
        await stubs.domain_set_schedule_configure(
            sys, CAP_DOMAIN, index=first + offset, domain=number, duration=duration
        )
    await stubs.domain_set_schedule_set_start(sys, CAP_DOMAIN, index=first + schedule.start_index)
