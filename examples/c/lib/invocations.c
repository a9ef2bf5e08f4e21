/* Methods of kernel objects: put arguments in place, Call, return the error. */
#include "invocations.h"

/* Arguments from the fifth on, and caps, travel in the IPC buffer. */
static void set_argument(unsigned n, word value)
{
    ipc_buffer()->msg[n] = value;
}

static void set_cap(unsigned n, cptr cap)
{
    ipc_buffer()->caps_or_badges[n] = cap;
}

static struct message arguments(word label, word caps, word length)
{
    return (struct message){.info = message_info(label, caps, length)};
}

static word invoke(cptr object, struct message m)
{
    return info_label(seL4_Call(object, m).info);
}

word seL4_Untyped_Retype(cptr untyped, word type, word size_bits, cptr root, word node_index,
                         word node_depth, word first_slot, word object_count)
{
    set_cap(0, root);
    set_argument(4, first_slot);
    set_argument(5, object_count);
    struct message m = {.info = message_info(UNTYPED_RETYPE, 1, 6),
                        .mr = {type, size_bits, node_index, node_depth}};
    return invoke(untyped, m);
}

word seL4_CNode_Copy(cptr to, word to_index, word to_depth, cptr from, word from_index,
                     word from_depth, word rights)
{
    set_cap(0, from);
    set_argument(4, rights);
    struct message m = {.info = message_info(CNODE_COPY, 1, 5),
                        .mr = {to_index, to_depth, from_index, from_depth}};
    return invoke(to, m);
}

word seL4_CNode_Mint(cptr to, word to_index, word to_depth, cptr from, word from_index,
                     word from_depth, word rights, word badge)
{
    set_cap(0, from);
    set_argument(4, rights);
    set_argument(5, badge);
    struct message m = {.info = message_info(CNODE_MINT, 1, 6),
                        .mr = {to_index, to_depth, from_index, from_depth}};
    return invoke(to, m);
}

word seL4_CNode_Delete(cptr cnode, word index, word depth)
{
    struct message m = {.info = message_info(CNODE_DELETE, 0, 2), .mr = {index, depth}};
    return invoke(cnode, m);
}

word seL4_CNode_Revoke(cptr cnode, word index, word depth)
{
    struct message m = {.info = message_info(CNODE_REVOKE, 0, 2), .mr = {index, depth}};
    return invoke(cnode, m);
}

word seL4_TCB_Configure(cptr tcb, cptr cspace, word cspace_data, cptr vspace, word vspace_data,
                        word buffer, cptr buffer_frame)
{
    set_cap(0, cspace);
    set_cap(1, vspace);
    set_cap(2, buffer_frame);
    struct message m = {.info = message_info(TCB_CONFIGURE, 3, 3),
                        .mr = {cspace_data, vspace_data, buffer}};
    return invoke(tcb, m);
}

word seL4_TCB_SetSchedParams(cptr tcb, cptr authority, word max_priority, word priority,
                             cptr sched_context, cptr fault_endpoint)
{
    set_cap(0, authority);
    set_cap(1, sched_context);
    set_cap(2, fault_endpoint);
    struct message m = {.info = message_info(TCB_SET_SCHED_PARAMS, 3, 2),
                        .mr = {max_priority, priority}};
    return invoke(tcb, m);
}

word seL4_TCB_ReadRegisters(cptr tcb, word count, struct registers *registers)
{
    struct message m = arguments(TCB_READ_REGISTERS, 0, 2);
    m.mr[1] = count;
    m = seL4_Call(tcb, m);
    word *out = (word *)registers;
    for (word i = 0; i < count; i++) {
        out[i] = i < 4 ? m.mr[i] : ipc_buffer()->msg[i];
    }
    return info_label(m.info);
}

word seL4_TCB_WriteRegisters(cptr tcb, bool resume, word count,
                             const struct registers *registers)
{
    /* Two words of options come first, so register i is argument i + 2. */
    const word *in = (const word *)registers;
    for (word i = 2; i < count; i++) {
        set_argument((unsigned)i + 2, in[i]);
    }
    struct message m = {.info = message_info(TCB_WRITE_REGISTERS, 0, count + 2),
                        .mr = {resume, count, in[0], count > 1 ? in[1] : 0}};
    return invoke(tcb, m);
}

word seL4_TCB_Suspend(cptr tcb)
{
    return invoke(tcb, arguments(TCB_SUSPEND, 0, 0));
}

word seL4_TCB_Resume(cptr tcb)
{
    return invoke(tcb, arguments(TCB_RESUME, 0, 0));
}

word seL4_SchedControl_ConfigureFlags(cptr control, cptr sched_context, word budget, word period,
                                      word extra_refills, word badge, word flags)
{
    set_cap(0, sched_context);
    set_argument(4, flags);
    struct message m = {.info = message_info(SCHED_CONTROL_CONFIGURE_FLAGS, 1, 5),
                        .mr = {budget, period, extra_refills, badge}};
    return invoke(control, m);
}

word seL4_SchedContext_Unbind(cptr sched_context)
{
    return invoke(sched_context, arguments(SCHED_CONTEXT_UNBIND, 0, 0));
}

word seL4_ASIDPool_Assign(cptr pool, cptr vspace)
{
    set_cap(0, vspace);
    return invoke(pool, arguments(ASID_POOL_ASSIGN, 1, 0));
}

word seL4_PageTable_Map(cptr table, cptr vspace, word vaddr, word attributes)
{
    set_cap(0, vspace);
    struct message m = {.info = message_info(PAGE_TABLE_MAP, 1, 2), .mr = {vaddr, attributes}};
    return invoke(table, m);
}

word seL4_Page_Map(cptr frame, cptr vspace, word vaddr, word rights, word attributes)
{
    set_cap(0, vspace);
    struct message m = {.info = message_info(PAGE_MAP, 1, 3), .mr = {vaddr, rights, attributes}};
    return invoke(frame, m);
}

word seL4_Page_Unmap(cptr frame)
{
    return invoke(frame, arguments(PAGE_UNMAP, 0, 0));
}

word seL4_IRQControl_Get(cptr control, word irq, cptr root, word index, word depth)
{
    set_cap(0, root);
    struct message m = {.info = message_info(IRQ_CONTROL_GET, 1, 3), .mr = {irq, index, depth}};
    return invoke(control, m);
}

word seL4_IRQHandler_Ack(cptr handler)
{
    return invoke(handler, arguments(IRQ_HANDLER_ACK, 0, 0));
}

word seL4_IRQHandler_SetNotification(cptr handler, cptr notification)
{
    set_cap(0, notification);
    return invoke(handler, arguments(IRQ_HANDLER_SET_NOTIFICATION, 1, 0));
}
