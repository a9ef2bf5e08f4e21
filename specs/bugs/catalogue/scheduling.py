"""Who runs, on whose time, and what is charged for it."""

from specs.bugs.model import Bug, Edit

_BUDGET = "capkernel.kernel.budget"
_NOTIFICATION = "capkernel.kernel.notification"
_REFILLS = "capkernel.kernel.refills"
_REPLY = "capkernel.kernel.reply"
_SCHED = "capkernel.kernel.invocations.sched"
_SCHEDCONTEXT = "capkernel.kernel.schedcontext"
_SYSCALL = "capkernel.kernel.syscall"
_THREAD = "capkernel.kernel.thread"


class S31(Bug):
    """A thread is woken before it has been lent the time to run.

    A passive thread becomes able to run only by the scheduling context that comes with what wakes it. Asked before,
    the scheduler finds nothing to queue; afterwards nobody asks again, and a thread with time waits for ever.
    """

    origin = "seL4 61b886664"
    caught_by = ("G18", "G19")
    note = "G19 looks at threads in ready queues; that one is missing there is G18's."
    edits = (
        Edit(
            _NOTIFICATION,
            """\
    _maybe_donate(state, notification, thread)
    if scheduler.is_schedulable(thread):
        scheduler.possible_switch_to(state, thread)
""",
            """\
    if scheduler.is_schedulable(thread):
        scheduler.possible_switch_to(state, thread)
    _maybe_donate(state, notification, thread)
""",
        ),
    )


class S32(Bug):
    """A thread without scheduling context returns one to its notification.

    A passive server that answers and waits again has given its time away already. Whether what it runs on is the
    notification's is then asked of two null pointers, which are equal.
    """

    origin = "seL4 6a9e860e4"
    caught_by = ("T15", "G21")
    note = "In C the null pointer is written through and G21 breaks; here that it is followed is noticed."
    edits = (
        Edit(
            _NOTIFICATION,
            "    if sc is not None and sc is thread.sched_context:\n",
            "    if sc is thread.sched_context:\n",
        ),
    )


class S33(Bug):
    """An answer gives its caller a second scheduling context.

    The time that a caller lent comes back with the answer, unless the caller has been given other time meanwhile. If
    not asked, a thread is bound to two contexts, of which each believes that it runs on it.
    """

    origin = "seL4 52beb5f3f"
    caught_by = ("G14", "G21", "T15")
    note = "That contexts and threads are one to one is G14's here, as in the proofs (sym_refs)."
    edits = (
        Edit(
            _REPLY,
            "    if thread.sched_context is None:\n",
            "    if True:\n",
        ),
        Edit(
            _SCHEDCONTEXT,
            "    if to.sched_context is not None:\n",
            "    if False:\n",
        ),
    )


class S34(Bug):
    """Binding a scheduling context makes a blocked thread ready.

    A context may be bound to a thread that waits for a message. Queued as if it could run, it runs, with the registers
    of a system call that never finished.
    """

    origin = "seL4 8df3c4cd0"
    caught_by = ("G18", "G19")
    edits = (
        Edit(
            _SCHEDCONTEXT,
            """\
    resume(state, sc)
    if scheduler.is_schedulable(thread):
        scheduler.enqueue(state, thread)
""",
            """\
    resume(state, sc)
    if scheduler.is_schedulable(thread) or hasattr(thread.state, "endpoint"):
        scheduler.enqueue(state, thread)
""",
        ),
    )


class S35(Bug):
    """YieldTo queues a thread that has no budget.

    The thread yielded to may be waiting for its next refill. Put among the ready ones it stands in two queues, and
    runs on time that it does not have.
    """

    origin = "seL4 9dffbd016"
    caught_by = ("G18", "G19", "G20")
    edits = (
        Edit(
            _SCHED,
            """\
    if not scheduler.is_schedulable(thread):
        return perform_consumed(state, sc)
""",
            """\
    if not scheduler.is_runnable(thread):
        return perform_consumed(state, sc)
""",
        ),
    )


class S36(Bug):
    """SetPriority queues a thread that cannot run.

    To find its new place a thread is taken out of its queue and put back. One that was in none, as it waits for a
    refill or has no scheduling context, is put into one.
    """

    origin = "seL4 f1113460b"
    caught_by = ("G18", "G19", "T15")
    note = "T15 if the thread is chosen at once: the kernel's own check finds that whoever runs has no time."
    edits = (
        Edit(
            _THREAD,
            "    if scheduler.is_runnable(thread) and (thread.queued == READY_QUEUE or thread is state.current):\n",
            "    if scheduler.is_runnable(thread):\n",
        ),
    )


class S37(Bug):
    """After SetPriority nobody is chosen anew.

    A thread that was raised above the running one, or the running one that was put below others, changes nothing until
    something else makes the kernel choose: an urgent thread waits for the end of somebody's time slice.
    """

    origin = "seL4 a0ec03582"
    caught_by = ("L1",)
    edits = (
        Edit(
            _THREAD,
            """\
        scheduler.dequeue(state, thread)
        thread.priority = priority
        scheduler.enqueue(state, thread)
        scheduler.reschedule_required(state)
        return
""",
            """\
        was_queued = thread.queued == READY_QUEUE
        scheduler.dequeue(state, thread)
        thread.priority = priority
        if was_queued:
            scheduler.enqueue(state, thread)
        return
""",
        ),
    )


class S38(Bug):
    """A scheduling context is used after it was unbound.

    The thread that loses its context has to leave the scheduler's queues. If it stays, whoever looks at the queue next
    asks a context that is not there, or no longer exists, when that thread may run.
    """

    origin = "seL4 00d6f4dfb"
    caught_by = ("G18", "G19", "G20", "G2", "T15")
    edits = (
        Edit(
            _SCHEDCONTEXT,
            """\
    scheduler.leave_queues(state, thread)
    thread.sched_context = None
    sc.tcb = None


def donate""",
            """\
    thread.sched_context = None
    sc.tcb = None


def donate""",
        ),
    )


class S39(Bug):
    """A Revoke is preempted after it destroyed the thread that runs it, or its time.

    Revoke may delete its own caller, or the scheduling context that it runs on. Charging that as if nothing had
    happened charges, and consults, something that is no more.
    """

    origin = "seL4 acdf0be5e"
    caught_by = ("T11", "T16", "T15")
    edits = (
        Edit(
            _BUDGET,
            """\
    if scheduler.is_schedulable(state.current):
        check_budget(state)
    elif state.current_sc.refill_max > 0:
        charge_budget(state, state.consumed, can_timeout_fault=False)
    else:
        state.consumed = 0
""",
            """\
    if scheduler.is_schedulable(state.current):
        check_budget(state)
    else:
        state.consumed = 0
""",
        ),
    )


class S40(Bug):
    """Budget is charged twice.

    What was charged must be forgotten. If not, it is charged again at the next switch, to whoever's turn it is then.
    """

    origin = "seL4 483f0ae22"
    caught_by = ("T11",)
    edits = (
        Edit(
            _BUDGET,
            """\
        sc.consumed += consumed
    state.consumed = 0
    if scheduler""",
            """\
        sc.consumed += consumed
    if scheduler""",
        ),
    )


class S41(Bug):
    """Yield counts time as consumed that nobody used.

    A thread that yields gives up the rest of its budget. That is charged, but was not consumed; who bills by consumed
    time bills too much.
    """

    origin = "seL4 58725c492"
    caught_by = ("T11",)
    edits = (
        Edit(
            _BUDGET,
            """\
    charge_budget(state, sc.refills[0].amount, can_timeout_fault=False)
    sc.consumed = consumed
""",
            """\
    charge_budget(state, sc.refills[0].amount, can_timeout_fault=False)
""",
        ),
    )


class S42(Bug):
    """The least budget is checked before a conversion that loses bits.

    Budgets are given in microseconds and kept in ticks. Multiplied in 32 bits, a large budget that passed the check
    becomes one of nothing, and the scheduler divides time by it.
    """

    origin = "seL4 7e798a15b"
    caught_by = ("G21",)
    edits = (
        Edit(
            _SCHED,
            "perform_configure, state, target.sched_context, budget * ticks, period * ticks,\n",
            "perform_configure, state, target.sched_context, budget * ticks % 2**32, period * ticks,\n",
        ),
    )


class S43(Bug):
    """Refills are merged with one that does not exist.

    A refill is merged with the next if they overlap. With a single refill there is no next: what the kernel reads in
    its ring of refills is the first one again, and the budget doubles.
    """

    origin = "seL4 3153e9923"
    caught_by = ("G21", "G21b")
    edits = (
        Edit(
            _REFILLS,
            """\
        head.amount += sc.refills.pop(1).amount


def sporadic_unblock""",
            """\
        head.amount += sc.refills.pop(1).amount
    if len(sc.refills) == 1:
        head.amount += sc.refills[-1].amount


def sporadic_unblock""",
        ),
    )


class S44(Bug):
    """A timeout's answer is followed by another timeout.

    A handler that answers a timeout without giving budget gets the next one at once, and so on: in the real kernel by
    recursion until the stack ended, here by a handler that never gets to anything else.
    """

    origin = "seL4 e94c928bc"
    caught_by = ("L6", "T15")
    edits = (
        Edit(
            _THREAD,
            "    elif has_timeout_handler(receiver) and not isinstance(fault, Timeout):\n",
            "    elif has_timeout_handler(receiver):\n",
        ),
    )


class S45(Bug):
    """A thread that waits for an answer is in the release queue.

    Whether a context's thread wants to run at all has to be asked before it is made to wait for its next refill. Mended
    three times in the real kernel, as there are three ways to come there.
    """

    origin = "seL4 c64867ebd"
    caught_by = ("G18", "G20")
    edits = (
        Edit(
            _SCHEDCONTEXT,
            "    if sc is None or sc.tcb is None or not scheduler.is_schedulable(sc.tcb):\n",
            "    if sc is None or sc.tcb is None or not sc.refill_max or sc.tcb.queued == 2:\n",
        ),
    )


class S46(Bug):
    """The clock is not read at a preemption point.

    A long operation asks in between whether something else has to happen. With the time of its beginning its budget
    never ends, nor does its domain's time.
    """

    origin = "seL4 9663e1e6f"
    caught_by = ("T11b", "T11", "L3")
    note = "T11b is the part of T11 that says when the clock is to be read."
    edits = (
        Edit(
            _BUDGET,
            "    state.work_units = 0\n    update_timestamp(state)\n",
            "    state.work_units = 0\n",
        ),
    )


class S47(Bug):
    """YieldTo queues the two threads in the wrong order.

    At one priority the thread yielded to has to stand in front of who yielded. The other way round the caller runs on
    at once, and has yielded to nobody.
    """

    origin = "seL4 6611cff6c"
    caught_by = ("L1b", "L1", "T18b")
    note = "L1b is the part of L1 that speaks of YieldTo."
    edits = (
        Edit(
            _SCHED,
            """\
    scheduler.enqueue(state, caller)
    scheduler.enqueue(state, thread)
    scheduler""",
            """\
    scheduler.enqueue(state, thread)
    scheduler.enqueue(state, caller)
    scheduler""",
        ),
    )


class S48(Bug):
    """A spurious interrupt is handled one way at entry and another at a preemption point.

    At a preemption point there need be no interrupt: the budget may have ended. Served as if there were one, a line
    that is none is completed and masked, and whether that happens depends on how long somebody's operation was.
    """

    origin = "seL4 0f78e4e95"
    caught_by = ("T13b", "T15", "H1", "H3")
    note = "H1 and H3 compare two runs; in one, T13b sees a line touched that did not fire, and the controller objects."
    edits = (
        Edit(
            _SYSCALL,
            "            interrupts.handle_pending(state)\n    ",
            "            interrupts._handle_interrupt(state, state.machine.claim_irq())\n    ",
        ),
    )
