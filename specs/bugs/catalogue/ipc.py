"""Messages, replies, faults."""

from specs.bugs.model import Bug, Edit

_DELETION = "capkernel.kernel.deletion"
_ENDPOINT = "capkernel.kernel.endpoint"
_FASTPATH = "capkernel.kernel.fastpath"
_REPLY = "capkernel.kernel.reply"
_SCHEDCONTEXT = "capkernel.kernel.schedcontext"
_SYSCALL = "capkernel.kernel.syscall"
_TCB = "capkernel.kernel.invocations.tcb"
_THREAD = "capkernel.kernel.thread"
_TRANSFER = "capkernel.kernel.transfer"


class S2(Bug):
    """Destroying a reply object leaves its receiver inactive in the endpoint's queue.

    A thread that waits to receive has linked its reply object. When that is destroyed the thread must leave the queue,
    not only the reply; else the next sender hands its message to a thread that is not there for it.
    """

    origin = "seL4 d5133b860"
    caught_by = ("G14", "G15", "G18")
    edits = (
        Edit(
            _DELETION,
            """\
    else:
        cancel_ipc(state, thread)


def _finalise_tcb""",
            """\
    else:
        replies.unlink(state, reply, thread)


def _finalise_tcb""",
        ),
    )


class S3(Bug):
    """A thread keeps a pointer to a reply object that does not point back.

    Who receives notes its reply object, and the object notes the thread. With only one half of that the object can be
    deleted, or used by another thread, while the first still believes in it.
    """

    origin = "seL4 f103ac223"
    caught_by = ("G16", "G14", "G2")
    note = "G16 has those references between threads and replies that the proofs count to sym_refs (G14)."
    edits = (
        Edit(
            _ENDPOINT,
            """\
        if reply is not None:
            reply.tcb = thread
        endpoint.enqueue""",
            """\
        endpoint.enqueue""",
        ),
    )


class S4(Bug):
    """Waiting on a notification drops the caller who waits for an answer.

    A server between two messages still owes answers. Using a reply object for the next receive gives the old caller
    up, as the manual says; but waiting for a signal uses none, and must not.
    """

    origin = "seL4 f15959a73"
    caught_by = ("T10", "G16")
    edits = (
        Edit(
            _SYSCALL,
            """\
            if bound is None or bound is thread:
                receive_signal(""",
            """\
            if bound is None or bound is thread:
                if with_reply and (waiting := _lookup_reply(thread)[0].tcb) is not None:
                    cancel_ipc(state, waiting)
                receive_signal(""",
        ),
        Edit(
            _SYSCALL,
            "from capkernel.kernel.caps import EndpointCap, NotificationCap, ReplyCap\n",
            "from capkernel.kernel.cancel import cancel_ipc\n"
            "from capkernel.kernel.caps import EndpointCap, NotificationCap, ReplyCap\n",
        ),
    )


class S23(Bug):
    """The message info of an answer is clobbered.

    The label of an answer tells the caller what it is, an error for instance. If the kernel overwrites it the caller
    takes a refusal for success.
    """

    origin = "seL4 4ce6cbe9e"
    caught_by = ("T8", "T18")
    edits = (
        Edit(
            _TRANSFER,
            "    receiver.registers[MSG_INFO_REGISTER] = info >> 12 << 12 | ",
            "    receiver.registers[MSG_INFO_REGISTER] = (info >> 12 << 12 if endpoint is not None else 0) | ",
        ),
    )


class S24(Bug):
    """The answer to YieldTo comes without badge and message info.

    When the caller of YieldTo runs again it is told how much the other thread consumed. Of what went wrong with that in
    the real kernel (answers to plain sends, a badge that nobody set, a crash on a read-only buffer) this is the second:
    the registers that say who answers, and how many words, keep what was in them.
    """

    origin = "seL4 90dafb2e7"
    caught_by = ("T18b", "T18", "T8")
    note = "T18b is the part of T18 that speaks of the kernel's own answers."
    edits = (
        Edit(
            _SCHEDCONTEXT,
            """\
    registers[BADGE_REGISTER] = 0
    registers[MSG_REGISTERS[0]] = take_consumed(state, yielder.yield_to)
    registers[MSG_INFO_REGISTER] = msg.message_info(0, 1)
""",
            """\
    registers[MSG_REGISTERS[0]] = take_consumed(state, yielder.yield_to)
""",
        ),
    )


class S25(Bug):
    """A fault message carries old information.

    The handler of a cap fault is told which address did not lead to a cap. With that of the wrong register, it repairs
    the wrong slot, and the thread faults again for ever.
    """

    origin = "seL4 c119df035"
    caught_by = ("T14",)
    edits = (
        Edit(
            _SYSCALL,
            "        address, failure = failed_reply.address, failed_reply.failure\n",
            "        failure = failed_reply.failure\n",
        ),
    )


class S26(Bug):
    """Cancelling sends lets faulted threads run.

    A thread that waits to deliver a fault stands in the same queue as senders. When the endpoint goes away senders
    make their system call again; a faulted thread has none to make, and goes on behind the fault as if it had been
    handled.
    """

    origin = "seL4 395df9396"
    caught_by = ("T8b", "G19")
    note = "G19 holds: the thread is in its right queue. That it is in any is what T8b objects to."
    edits = (
        Edit(
            _ENDPOINT,
            """\
    if thread.fault is not None:
        scheduler.set_thread_state(state, thread, INACTIVE)
        return
    scheduler.set_thread_state(state, thread, RESTART)
""",
            """\
    thread.fault = None
    scheduler.set_thread_state(state, thread, RESTART)
""",
        ),
    )


class S27(Bug):
    """A caller that nobody can answer is not stopped.

    A Call to a receiver without reply object, or through a cap without Grant and GrantReply, can never be answered;
    the caller must stop. Left as it was it still stands in a state that says it is queued, or runs on with an answer
    that was never given.
    """

    origin = "seL4 5d1db7c94"
    caught_by = ("G18", "G14", "G15", "L6", "T8")
    note = "T8 where one that reported a fault is not stopped: the next message that it sends is that fault again."
    edits = (
        Edit(
            _ENDPOINT,
            """\
    else:
        scheduler.set_thread_state(state, caller, INACTIVE)
""",
            """\
    else:
        pass
""",
        ),
    )


class S28(Bug):
    """A fault lends time that the faulted thread does not have.

    A thread may be queued with a fault and lose its scheduling context meanwhile. Lending it nevertheless follows a
    null pointer.
    """

    origin = "seL4 82601b883"
    caught_by = ("T15", "G21")
    note = "In C the null pointer is followed and G21 breaks later; here following it is what is noticed."
    edits = (
        Edit(
            _REPLY,
            "    if sc is not None and callee.sched_context is None and can_donate:\n",
            "    if callee.sched_context is None and can_donate:\n",
        ),
    )


class S29(Bug):
    """A thread that was stopped goes on at an old pc.

    Who is suspended while it runs must later be resumed right there. Without noting the pc it makes its last system
    call once more: a message is sent twice, an object created twice.
    """

    origin = "seL4 7c1a70533"
    caught_by = ("T16",)
    edits = (
        Edit(
            _THREAD,
            """\
    if thread.state is RUNNING:
        thread.registers[FAULT_IP] = thread.registers[NEXT_IP]
""",
            "",
        ),
    )


class S30(Bug):
    """A change of the caller's own IPC buffer is not effective.

    A thread that sets its own buffer goes on with the old one: it finds its words and caps where they no longer are,
    or in a page that it has given to somebody else.
    """

    origin = "seL4 a0c6b3e1c"
    caught_by = ("T18c", "T18", "H6")
    note = "T18c is the part of T18 that says where the words of a message are from now on."
    edits = (
        Edit(
            _TCB,
            "        if target is tcb.buffer_slot and buffer_address is not None:\n",
            "        if target is tcb.buffer_slot and buffer_address is not None and tcb is not state.current:\n",
        ),
    )


class S51(Bug):
    """An answer is silently truncated.

    Hubris returned the length that was sent, not the one that arrived. Who has no IPC buffer gets four words; told of
    more, it reads what it never received.
    """

    origin = "Hubris 909c66edb"
    caught_by = ("T8",)
    edits = (
        Edit(
            _TRANSFER,
            "unwrapped << 9 | extra << 7 | arrived\n",
            "unwrapped << 9 | extra << 7 | length\n",
        ),
    )


class S54(Bug):
    """A message of length zero is taken for none.

    Ours, on a socket between processes: a frame without bytes was read as the end of the stream, so that any client
    could hang up everybody's connection. The same here: a message without words and caps is taken for no message, and
    the receiver wakes up with the badge of an earlier one.
    """

    origin = "ours"
    caught_by = ("T8", "T15", "T17")
    edits = (
        Edit(
            _TRANSFER,
            "    length = info & msg.LENGTH_MASK\n    if length",
            "    length = info & msg.LENGTH_MASK\n    if not info:\n        return\n    if length",
        ),
    )


class S68(Bug):
    """The Call fast path leaves a forward link in the receiver that it dequeues.

    In seL4 16.0.0, found while behaviour was recorded for this project: when another receiver waits behind the one
    that is called, that one keeps its link to it. Put into another queue it takes the link along; that queue then
    leads to a thread that waits elsewhere.
    """

    origin = "seL4 16.0.0"
    caught_by = ("G18", "G14", "G15", "H6")
    edits = (
        Edit(
            _FASTPATH,
            """\
    endpoint.dequeue(server)
    reply.tcb = thread
""",
            """\
    behind = server.queue_next
    endpoint.dequeue(server)
    server.queue_next = behind
    reply.tcb = thread
""",
        ),
    )
