/* The event loop of a protection domain, and the calls that it may make. */
#include "callers.h"
#include "invocations.h"
#include "microkit.h"

static const word FAULT_BADGE = 1ull << 62, CALL_BADGE = 1ull << 63;
enum { CHANNEL_MASK = 63, CHILD_MASK = 255, REGISTER_WORDS = 4 };

/* In memory that the file has, so that a loader finds room to write them. */
#define SET_BY_LOADER __attribute__((section(".data")))
char microkit_name[MICROKIT_PD_NAME_LENGTH] SET_BY_LOADER;
bool microkit_passive SET_BY_LOADER;
seL4_Word microkit_irqs SET_BY_LOADER;
seL4_Word microkit_notifications SET_BY_LOADER;
seL4_Word microkit_pps SET_BY_LOADER;
seL4_Word microkit_ioports SET_BY_LOADER;

/* What is to be done together with the next wait. */
static struct {
    bool is_set;
    cptr cap;
    microkit_msginfo info;
} deferred;

/* Who holds the present caller, or will hold the next one; and whether he is to wait. */
static cptr reply = REPLY_CAP;
static bool is_held;

/* Messages: four words travel in registers, and `microkit_mr_get` finds all in the IPC buffer. */

static struct message outgoing(microkit_msginfo info)
{
    struct message m = {.info = info};
    for (unsigned i = 0; i < REGISTER_WORDS; i++) {
        m.mr[i] = microkit_mr_get((uint8_t)i);
    }
    return m;
}

static struct message taken_in(struct message m)
{
    for (unsigned i = 0; i < REGISTER_WORDS; i++) {
        microkit_mr_set((uint8_t)i, m.mr[i]);
    }
    return m;
}

/* Send without waiting, and receive: one system call. The cap to send through goes into t0. */
static struct message send_and_receive(cptr to, microkit_msginfo info, cptr from)
{
    register word a0 __asm__("a0") = from;
    register word a1 __asm__("a1") = info;
    register word a2 __asm__("a2") = 0;
    register word a3 __asm__("a3") = 0;
    register word a4 __asm__("a4") = 0;
    register word a5 __asm__("a5") = 0;
    register word a6 __asm__("a6") = reply;
    register long a7 __asm__("a7") = SYS_NB_SEND_RECV;
    register word t0 __asm__("t0") = to;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a5)
                     : "r"(a6), "r"(a7), "r"(t0)
                     : "memory");
    return (struct message){.badge = a0, .info = a1, .mr = {a2, a3, a4, a5}};
}

/* The debug console */

void microkit_dbg_putc(int c)
{
    seL4_DebugPutChar((char)c);
}

void microkit_dbg_puts(const char *s)
{
    for (; *s; s++) {
        microkit_dbg_putc(*s);
    }
}

void microkit_dbg_put32(uint32_t x)
{
    if (x >= 10) {
        microkit_dbg_put32(x / 10);
    }
    microkit_dbg_putc('0' + (int)(x % 10));
}

_Noreturn void microkit_internal_crash(word err)
{
    for (;;) {
        *(volatile word *)err = 0;
    }
}

static void missing(const char *hook)
{
    microkit_dbg_puts(microkit_name);
    microkit_dbg_puts(" is missing the '");
    microkit_dbg_puts(hook);
    microkit_dbg_puts("' entry point\n");
    microkit_internal_crash(0);
}

__attribute__((weak)) microkit_msginfo protected(microkit_channel ch, microkit_msginfo msginfo)
{
    (void)ch;
    (void)msginfo;
    missing("protected");
    return 0;
}

__attribute__((weak)) seL4_Bool fault(microkit_child child, microkit_msginfo msginfo,
                                      microkit_msginfo *reply_msginfo)
{
    (void)child;
    (void)msginfo;
    (void)reply_msginfo;
    missing("fault");
    return seL4_False;
}

/* Channels */

static bool may(seL4_Word channels, microkit_channel ch, const char *call)
{
    if (ch <= MICROKIT_MAX_CHANNEL_ID && channels >> ch & 1) {
        return true;
    }
    microkit_dbg_puts(microkit_name);
    microkit_dbg_puts(" microkit_");
    microkit_dbg_puts(call);
    microkit_dbg_puts(": invalid channel ");
    microkit_dbg_put32(ch);
    microkit_dbg_puts("\n");
    return false;
}

void microkit_notify(microkit_channel ch)
{
    if (may(microkit_notifications, ch, "notify")) {
        seL4_Signal(BASE_OUTPUT_NOTIFICATION_CAP + ch);
    }
}

void microkit_irq_ack(microkit_channel ch)
{
    if (may(microkit_irqs, ch, "irq_ack")) {
        seL4_IRQHandler_Ack(BASE_IRQ_CAP + ch);
    }
}

microkit_msginfo microkit_ppcall(microkit_channel ch, microkit_msginfo msginfo)
{
    if (!may(microkit_pps, ch, "ppcall")) {
        return 0;
    }
    return taken_in(seL4_Call(BASE_ENDPOINT_CAP + ch, outgoing(msginfo))).info;
}

static void defer(cptr cap, word label)
{
    deferred.is_set = true;
    deferred.cap = cap;
    deferred.info = message_info(label, 0, 0);
}

void microkit_deferred_notify(microkit_channel ch)
{
    if (may(microkit_notifications, ch, "deferred_notify")) {
        defer(BASE_OUTPUT_NOTIFICATION_CAP + ch, 0);
    }
}

void microkit_deferred_irq_ack(microkit_channel ch)
{
    if (may(microkit_irqs, ch, "deferred_irq_ack")) {
        defer(BASE_IRQ_CAP + ch, IRQ_HANDLER_ACK);
    }
}

/* Callers who wait */

cptr pd_hold_caller(cptr spare)
{
    cptr held = reply;
    reply = spare;
    is_held = true;
    return held;
}

void pd_answer(cptr held, microkit_msginfo answer)
{
    seL4_Send(held, outgoing(answer));
}

/* Children */

static void must(word error, const char *call)
{
    if (error != NO_ERROR) {
        microkit_dbg_puts(call);
        microkit_dbg_puts(" failed\n");
        microkit_internal_crash(error);
    }
}

void microkit_pd_restart(microkit_child child, seL4_Word entry_point)
{
    const struct registers start = {.pc = entry_point};
    must(seL4_TCB_WriteRegisters(BASE_TCB_CAP + child, true, 1, &start), "microkit_pd_restart");
}

void microkit_pd_stop(microkit_child child)
{
    must(seL4_TCB_Suspend(BASE_TCB_CAP + child), "microkit_pd_stop");
}

/* The loop */

static struct message wait_for_event(bool has_answer, microkit_msginfo answer)
{
    bool is_set = deferred.is_set;
    deferred.is_set = false;
    if (has_answer) {
        if (is_set) {
            seL4_Send(deferred.cap, (struct message){.info = deferred.info});
        }
        return seL4_ReplyRecv(INPUT_CAP, outgoing(answer), reply);
    }
    if (is_set) {
        return send_and_receive(deferred.cap, deferred.info, INPUT_CAP);
    }
    return seL4_Recv(INPUT_CAP, reply);
}

static void notify_all(word badge)
{
    for (microkit_channel ch = 0; badge; ch++, badge >>= 1) {
        if (badge & 1) {
            notified(ch);
        }
    }
}

/* start.S comes here, with a stack and the address of the IPC buffer. */
_Noreturn void pd_start(void)
{
    init();
    for (microkit_channel ch = 0; ch <= MICROKIT_MAX_CHANNEL_ID; ch++) {
        if (microkit_irqs >> ch & 1) {
            microkit_irq_ack(ch);
        }
    }
    /* Whoever takes a passive domain's time away must find it waiting, so it says this as it waits. */
    if (microkit_passive) {
        defer(MONITOR_EP, 0);
    }
    bool has_answer = false;
    microkit_msginfo answer = 0;
    for (;;) {
        struct message m = taken_in(wait_for_event(has_answer, answer));
        if (m.badge & FAULT_BADGE) {
            answer = 0;
            has_answer = fault((microkit_child)(m.badge & CHILD_MASK), m.info, &answer);
        } else if (m.badge & CALL_BADGE) {
            is_held = false;
            answer = protected((microkit_channel)(m.badge & CHANNEL_MASK), m.info);
            has_answer = !is_held;
        } else {
            has_answer = false;
            notify_all(m.badge);
        }
    }
}
