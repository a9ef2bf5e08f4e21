/* What a protection domain in C is written against: the documented interface of Microkit 2
 * (https://github.com/seL4/microkit, docs/manual.md), as far as it makes sense here.
 *
 * A domain defines `init` and `notified`, and `protected` and `fault` if something may come for them.
 */
#pragma once

#include "syscalls.h"

typedef word seL4_Word;
typedef bool seL4_Bool;
enum { seL4_False, seL4_True };

typedef unsigned int microkit_channel;
typedef unsigned int microkit_child;
typedef word microkit_msginfo;

enum { MICROKIT_MAX_CHANNEL_ID = 61, MICROKIT_PD_NAME_LENGTH = 64 };

/* Where the loader puts a domain's caps. */
enum {
    INPUT_CAP = 1,   /* what comes is received from here */
    REPLY_CAP = 4,
    MONITOR_EP = 5,  /* passive domains only: where one says that it is initialised */
    BASE_OUTPUT_NOTIFICATION_CAP = 10,
    BASE_ENDPOINT_CAP = 74,
    BASE_IRQ_CAP = 138,
    BASE_TCB_CAP = 202,
};

/* Set by the loader. The masks have a bit for each channel that may be used so. */
extern char microkit_name[MICROKIT_PD_NAME_LENGTH];
extern bool microkit_passive;
extern seL4_Word microkit_irqs;
extern seL4_Word microkit_notifications;
extern seL4_Word microkit_pps;
extern seL4_Word microkit_ioports;

/* Defined by the domain. */
void init(void);
void notified(microkit_channel ch);
microkit_msginfo protected(microkit_channel ch, microkit_msginfo msginfo);
seL4_Bool fault(microkit_child child, microkit_msginfo msginfo, microkit_msginfo *reply_msginfo);

/* A channel that the domain has not got is complained about on the debug console, and overlooked. */
void microkit_notify(microkit_channel ch);
void microkit_irq_ack(microkit_channel ch);
microkit_msginfo microkit_ppcall(microkit_channel ch, microkit_msginfo msginfo);

/* Done together with the next wait, in one system call. One at a time: the last counts. */
void microkit_deferred_notify(microkit_channel ch);
void microkit_deferred_irq_ack(microkit_channel ch);

/* Of a parent, for its children. */
void microkit_pd_restart(microkit_child child, seL4_Word entry_point);
void microkit_pd_stop(microkit_child child);

/* Only a debugging kernel prints. */
void microkit_dbg_putc(int c);
void microkit_dbg_puts(const char *s);
void microkit_dbg_put32(uint32_t x);

/* Stop with a memory fault at the address `err`, which whoever looks at the fault gets to see. */
_Noreturn void microkit_internal_crash(word err);

static inline microkit_msginfo microkit_msginfo_new(seL4_Word label, uint16_t count)
{
    return message_info(label, 0, count);
}

static inline seL4_Word microkit_msginfo_get_label(microkit_msginfo msginfo)
{
    return info_label(msginfo);
}

static inline seL4_Word microkit_msginfo_get_count(microkit_msginfo msginfo)
{
    return info_length(msginfo);
}

/* The words of the message that is being written, or was received last. */
static inline void microkit_mr_set(uint8_t mr, seL4_Word value)
{
    ipc_buffer()->msg[mr] = value;
}

static inline seL4_Word microkit_mr_get(uint8_t mr)
{
    return ipc_buffer()->msg[mr];
}
