/* System calls: one `ecall` each. The names are the manual's; the arguments are ours.
 *
 * A message is a value here: what goes out and what comes in have the same shape. The first four
 * words travel in registers, so a short message never touches memory.
 */
#pragma once

#include "abi.h"

struct message {
    word badge; /* only in a received message: which cap the sender used */
    word info;
    word mr[4];
};

/* All of our programs keep the address of their IPC buffer in the thread pointer. */
static inline struct ipc_buffer *ipc_buffer(void)
{
    struct ipc_buffer *buffer;
    __asm__("mv %0, tp" : "=r"(buffer));
    return buffer;
}

/* Enter the kernel. Whatever the call does not use keeps its value, as the ABI promises. */
static inline struct message trap(long number, cptr object, struct message m)
{
    register word a0 __asm__("a0") = object;
    register word a1 __asm__("a1") = m.info;
    register word a2 __asm__("a2") = m.mr[0];
    register word a3 __asm__("a3") = m.mr[1];
    register word a4 __asm__("a4") = m.mr[2];
    register word a5 __asm__("a5") = m.mr[3];
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a5)
                     : "r"(a7)
                     : "memory");
    return (struct message){.badge = a0, .info = a1, .mr = {a2, a3, a4, a5}};
}

/* The same for the calls that take a second cap, in a6. */
static inline struct message trap2(long number, cptr object, struct message m, cptr second)
{
    register word a0 __asm__("a0") = object;
    register word a1 __asm__("a1") = m.info;
    register word a2 __asm__("a2") = m.mr[0];
    register word a3 __asm__("a3") = m.mr[1];
    register word a4 __asm__("a4") = m.mr[2];
    register word a5 __asm__("a5") = m.mr[3];
    register word a6 __asm__("a6") = second;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4), "+r"(a5)
                     : "r"(a6), "r"(a7)
                     : "memory");
    return (struct message){.badge = a0, .info = a1, .mr = {a2, a3, a4, a5}};
}

/* Send and wait for the answer. */
static inline struct message seL4_Call(cptr object, struct message m)
{
    return trap(SYS_CALL, object, m);
}

/* Send, and wait until somebody has taken it. */
static inline void seL4_Send(cptr object, struct message m)
{
    trap(SYS_SEND, object, m);
}

/* Send if somebody is waiting for it, else forget it. */
static inline void seL4_NBSend(cptr object, struct message m)
{
    trap(SYS_NB_SEND, object, m);
}

/* Set a bit in a notification (the cap's badge says which). */
static inline void seL4_Signal(cptr notification)
{
    trap(SYS_SEND, notification, (struct message){0});
}

/* Wait for a message; `reply` will hold whoever called, until we answer. */
static inline struct message seL4_Recv(cptr endpoint, cptr reply)
{
    return trap2(SYS_RECV, endpoint, (struct message){0}, reply);
}

/* Answer the caller that `reply` holds, then wait for the next message. */
static inline struct message seL4_ReplyRecv(cptr endpoint, struct message answer, cptr reply)
{
    return trap2(SYS_REPLY_RECV, endpoint, answer, reply);
}

/* Wait for a notification; the badge of the result says which bits were set. */
static inline struct message seL4_Wait(cptr notification)
{
    return trap(SYS_WAIT, notification, (struct message){0});
}

static inline void seL4_Yield(void)
{
    trap(SYS_YIELD, 0, (struct message){0});
}

static inline void seL4_DebugPutChar(char c)
{
    trap(SYS_DEBUG_PUT_CHAR, (unsigned char)c, (struct message){0});
}
