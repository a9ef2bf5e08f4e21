/* lwIP's raw API as any number of independent stacks on virtual time.

   lwIP keeps its state in variables of its library, takes its memory from the C library, its time from the host's
   clock and its random numbers from rand(). The library that Debian ships is built for threads and cannot be built
   anew here, so what it must not do is taken from it by defining functions of the same names: this object is searched
   before the library when the library's own calls are resolved (it is loaded with RTLD_DEEPBIND, which holds for the C
   library's functions as well). net_unusable() says whether that worked.

   - Memory: mem_*, memp_*. Each stack has its own blocks, counted and limited by kind, freed together at the end.
   - Time: sys_now, sys_timeouts_init, tcp_timer_needed. Timers are run by net_poll and nowhere else.
   - Randomness: rand, tcp_next_iss. From the stack's seed.
   - Threads: sys_init, sys_arch_protect, sys_check_core_locking, tcpip_try_callback. There are none.
   - Failed assertions: abort, printf. The stack is broken from then on, the process goes on.

   Several stacks: the variables of the library (12 KB) are one block of memory. Each stack has a copy, and the copy of
   the stack that is entered is put in place. No pointer changes, for the place is always the same.

   Handing over: everything that a stack is can be asked for as numbers and bytes, without a pointer among them, and a
   fresh stack can be given it, in another process as well. What is given is looked at as if an enemy had written it.

   Nothing here calls Python. What lwIP reports is kept until it is fetched, so that no foreign frame is ever on the
   stack between an entry and the longjmp of a failed assertion. */

#ifndef CAPKERNEL_LWIP_PRIVATE_H
#define CAPKERNEL_LWIP_PRIVATE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lwip/memp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/raw.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"
#include "lwip/udp.h"

#include "glue.h"

#if NO_SYS || !MEMP_MEM_MALLOC || !MEM_LIBC_MALLOC || MEMP_OVERFLOW_CHECK || ETH_PAD_SIZE || !LWIP_RAW || !LWIP_ARP
#error "this lwIP was built with options that servers/net/lwip/private.h does not know"
#endif

/* Nothing of this may be found by the library under a name of its own. */
#pragma GCC visibility push(hidden)

#define RING_SIZE ((uint32_t)TCP_WND)

/* Pools beyond lwIP's own: bytes of its heap (buffers of what is sent), and sockets with their buffers. */
enum { POOL_HEAP = MEMP_MAX, POOL_SOCKETS, POOL_DATAGRAMS, POOL_FRAMES, POOLS };

struct block {
    struct block *next, **link;
    uint64_t amount;
    uint64_t pool;
};

struct datagram {
    struct datagram *next;
    uint32_t address, size;
    uint16_t port;
    uint8_t data[];
};

struct net_socket {
    net_stack *stack;
    net_socket *next_changed;
    net_socket *listener;
    int kind, error;
    int flags;
    bool listed, was_connected, sent_fin, ended, waiting;
    uint32_t id, listener_id;
    uint32_t backlog, pending, dropped;
    uint32_t local_address, remote_address;
    uint16_t local_port, remote_port;
    union {
        struct tcp_pcb *tcp;
        struct udp_pcb *udp;
        struct raw_pcb *raw;
        void *any;
    } pcb;
    uint8_t *ring;
    uint32_t start, unread;
    struct datagram *datagrams, **last;
    uint32_t datagram_count;
};

struct deferred {
    tcpip_callback_fn function;
    void *argument;
};

struct net_stack {
    uint8_t *image;
    struct netif netif;
    uint8_t mac[6];
    uint64_t random;
    uint32_t now;
    uint32_t next_id;
    bool broken, tcp_ticking, is_odd;
    uint32_t tcp_due, second_due;
    uint16_t ports[2]; /* of UDP and TCP, that were given out last */
    int ports_drawn;
    uint32_t preset; /* one more than what rand() is to say next, or 0 */
    uint16_t seen_id;
    net_use use[POOLS];
    struct block *blocks;
    uint8_t *frames;
    uint32_t frames_size, frames_taken;
    net_socket *changed, **last_changed;
    net_socket *echoes;
    struct deferred deferred[4];
    int deferred_count;
    char assertion[160];
};

/* stacks.c: whose variables are in place; the library's, and what they were at the beginning; entering a stack. */
extern net_stack *current;
extern uint8_t *variables, *fresh;
extern size_t variables_size;
extern jmp_buf rescue;
extern char inside;
void put_in_place(net_stack *stack);
void leave(net_stack *stack);
net_stack *open_stack(const uint8_t *mac, uint32_t address, uint32_t netmask, uint32_t gateway, uint64_t seed,
                      uint32_t now);

/* memory.c */
void set_limits(net_stack *stack);
void *take(net_stack *stack, int pool, uint32_t amount, size_t size);
void give_back(net_stack *stack, void *memory);

/* replaced.c: which functions the library was seen to call; ports as lwIP gives them out. */
extern unsigned replaced;
enum { SAW_MEMP = 1, SAW_RAND = 2, SAW_INIT = 4, SAW_TIMERS = 8, SAW_ALL = 15 };
void run_deferred(net_stack *stack);
/* lwIP begins to give out ports one above such a number, kept to its range of 14 bits: behind the last port it would
   come to port 0, which it takes for "none is left" (tcp_new_port and udp_new_port of 2.1.3). */
#define FIRST_PORT 0xc000
#define LAST_PORT 0x3fff

/* timers.c */
void pass_seconds(net_stack *stack);

/* card.c */
err_t set_up(struct netif *netif);

/* sockets.c */
void note(net_socket *socket, int flags);
net_socket *new_socket(net_stack *stack, int kind);
net_socket *find_socket(net_stack *stack, uint32_t id);
net_socket *begun(net_socket *socket, int *error);

/* connections.c */
err_t connected(void *argument, struct tcp_pcb *pcb, err_t error);
err_t give_up(void *argument, struct tcp_pcb *pcb);
void adopt(net_socket *socket, struct tcp_pcb *pcb);
int begin_connecting(net_socket *socket, uint32_t address, uint16_t port, uint16_t local);
int begin_listening(net_socket *socket, uint16_t port);
void release_tcp(net_socket *socket, bool abort);

/* datagrams.c */
struct datagram *new_datagram(net_socket *socket, uint32_t size, uint32_t address, uint16_t port);
u8_t echo_arrived(void *argument, struct raw_pcb *pcb, struct pbuf *packet, const ip_addr_t *from);
int begin_datagrams(net_socket *socket, uint16_t port);

/* kept.c: members of lwIP's structure that are handed over; net_connection_members() of them. */
struct member {
    uint16_t offset, size;
    uint32_t most;
};
extern const struct member MEMBERS[];
err_t count_packets(net_stack *stack, int number);

#pragma GCC visibility pop

/* An entry: the variables are in place, the time is set, and a failed assertion comes back to here. */
#define ENTER(stack, when, failure, busy)                                                                              \
    do {                                                                                                               \
        if ((stack)->broken)                                                                                           \
            return failure;                                                                                            \
        if (__atomic_test_and_set(&inside, __ATOMIC_ACQUIRE))                                                          \
            return busy;                                                                                               \
        put_in_place(stack);                                                                                           \
        (stack)->now = (when);                                                                                         \
        if (setjmp(rescue)) {                                                                                          \
            __atomic_clear(&inside, __ATOMIC_RELEASE);                                                                 \
            return failure;                                                                                            \
        }                                                                                                              \
        pass_seconds(stack);                                                                                           \
    } while (0)

/* An entry that makes a socket, and ends with begun(). */
#define ENTER_WITH_SOCKET(stack, now, kind, error)                                                                     \
    net_socket *socket;                                                                                                \
    *(error) = (stack)->broken ? NET_BROKEN : NET_BUSY;                                                                \
    ENTER(stack, now, (*(error) = NET_BROKEN, NULL), NULL);                                                            \
    socket = new_socket(stack, kind);                                                                                  \
    if (socket == NULL) {                                                                                              \
        *(error) = ERR_MEM;                                                                                            \
        leave(stack);                                                                                                  \
        return NULL;                                                                                                   \
    }

#endif
