/* Starting and ending threads, and reading their faults. */
#include "threads.h"

extern char __global_pointer$[];

enum { STACK_PAGES = 4 };
enum { TIME_SLICE = 5000 }; /* microseconds */

/* Map a new page of memory where the next one goes. */
static cptr add_page(struct vspace *vspace)
{
    cptr frame = new_object(OBJECT_PAGE);
    map_page(vspace, frame, vspace->next_free, RIGHT_READ | RIGHT_WRITE, EXECUTE_NEVER);
    vspace->next_free += PAGE_SIZE;
    return frame;
}

/* Returns the stack's upper end. The page below the stack stays unmapped, to catch an overflow. */
static word add_stack(struct vspace *vspace)
{
    vspace->next_free += PAGE_SIZE;
    for (int i = 0; i < STACK_PAGES; i++) {
        add_page(vspace);
    }
    return vspace->next_free;
}

/* Time: as much as it wants, in slices, in turn with others of its priority. */
static cptr new_sched_context(void)
{
    cptr sched_context = new_sized_object(OBJECT_SCHED_CONTEXT, SCHED_CONTEXT_BITS);
    must(seL4_SchedControl_ConfigureFlags(boot->sched_control.start, sched_context, TIME_SLICE,
                                          TIME_SLICE, 0, 0, 0),
         "configure a scheduling context");
    return sched_context;
}

/* With this guard a cap address in the new CSpace is simply a slot number. */
static word guard_data(const struct cspace *cspace)
{
    return cspace ? WORD_BITS - cspace->radix : 0;
}

/* Returns the address of the IPC buffer. */
static word configure(struct thread thread, const struct thread_start *start)
{
    word buffer = start->vspace->next_free;
    cptr buffer_frame = add_page(start->vspace);
    cptr cnode = start->cspace ? start->cspace->cnode : ROOT_CNODE;
    must(seL4_TCB_Configure(thread.tcb, cnode, guard_data(start->cspace), start->vspace->root, 0,
                            buffer, buffer_frame),
         "configure a TCB");
    must(seL4_TCB_SetSchedParams(thread.tcb, ROOT_TCB, start->priority, start->priority,
                                 thread.sched_context, start->fault_endpoint),
         "set scheduling parameters");
    return buffer;
}

struct thread start_thread(struct thread_start start)
{
    struct thread thread = {.tcb = new_object(OBJECT_TCB), .sched_context = new_sched_context()};
    struct registers registers = {
        .pc = (word)start.entry,
        .sp = add_stack(start.vspace),
        .gp = (word)__global_pointer$,
        .a = {start.arguments[0], start.arguments[1], start.arguments[2]},
    };
    registers.tp = configure(thread, &start);
    must(seL4_TCB_WriteRegisters(thread.tcb, true, REGISTER_COUNT, &registers), "start a thread");
    return thread;
}

void end_thread(struct thread thread)
{
    must(seL4_TCB_Suspend(thread.tcb), "suspend a thread");
    must(seL4_CNode_Delete(ROOT_CNODE, thread.tcb, ROOT_CNODE_DEPTH), "delete a TCB");
    must(seL4_CNode_Delete(ROOT_CNODE, thread.sched_context, ROOT_CNODE_DEPTH),
         "delete a scheduling context");
}

static const char *access_name(word access)
{
    return access == ACCESS_EXECUTE ? "execute" : access == ACCESS_READ ? "read" : "write";
}

void print_fault(struct message fault)
{
    switch (info_label(fault.info)) {
    case FAULT_VM:
        print("VMFault: %s of %x at pc %x", access_name(fault.mr[3]), fault.mr[1], fault.mr[0]);
        break;
    case FAULT_CAP:
        print("CapFault: cap address %x at pc %x", fault.mr[1], fault.mr[0]);
        break;
    case FAULT_USER_EXCEPTION:
        print("UserException: cause %u at pc %x", fault.mr[2], fault.mr[0]);
        break;
    case FAULT_UNKNOWN_SYSCALL:
        print("UnknownSyscall: at pc %x", fault.mr[0]);
        break;
    default:
        print("fault %u", info_label(fault.info));
    }
}

struct message receive_or_fail(cptr endpoint, cptr reply, word fault_badge)
{
    struct message m = seL4_Recv(endpoint, reply);
    if (m.badge == fault_badge) {
        print("%s: ", program_name);
        print_fault(m);
        print("\n");
        fail("a child made a fault");
    }
    return m;
}
