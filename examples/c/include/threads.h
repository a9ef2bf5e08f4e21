/* Threads: a TCB with a stack, an IPC buffer and time to run. */
#pragma once

#include "spaces.h"

struct thread {
    cptr tcb;
    cptr sched_context;
};

/* What a new thread may reach, and where it starts. It must not return from there. */
struct thread_start {
    struct vspace *vspace;
    struct cspace *cspace; /* NULL: ours */
    cptr fault_endpoint;   /* 0: nobody hears of its faults */
    word priority;
    void (*entry)(word, word, word);
    word arguments[3];
};

struct thread start_thread(struct thread_start start);

/* No thread runs any more and nothing is left of its TCB. */
void end_thread(struct thread thread);

/* What a fault message says, in words. */
void print_fault(struct message fault);

/* Wait for a message; anything that is a fault (it has the badge `fault_badge`) is a failure. */
struct message receive_or_fail(cptr endpoint, cptr reply, word fault_badge);
