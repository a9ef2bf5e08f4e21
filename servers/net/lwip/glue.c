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

#define _GNU_SOURCE
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/inet_chksum.h"
#include "lwip/init.h"
#include "lwip/ip4_frag.h"
#include "lwip/mem.h"
#include "lwip/memp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/memp_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ethernet.h"
#include "lwip/prot/icmp.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "lwip/raw.h"
#include "lwip/sys.h"
#include "lwip/tcp.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"
#include "lwip/udp.h"
#include "netif/ethernet.h"

#include "glue.h"

#if NO_SYS || !MEMP_MEM_MALLOC || !MEM_LIBC_MALLOC || MEMP_OVERFLOW_CHECK || ETH_PAD_SIZE || !LWIP_RAW || !LWIP_ARP
#error "this lwIP was built with options that servers/net/lwip/glue.c does not know"
#endif

#define FRAME_LIMIT 1514
#define RING_SIZE ((uint32_t)TCP_WND)
#define DATAGRAM_LIMIT 64
#define ORPHAN_PATIENCE 240 /* half seconds */
#define POOL_BUFFER (LWIP_MEM_ALIGN_SIZE(sizeof(struct pbuf)) + LWIP_MEM_ALIGN_SIZE(PBUF_POOL_BUFSIZE))

/* Pools beyond lwIP's own: bytes of its heap (buffers of what is sent), and sockets with their buffers. */
enum { POOL_HEAP = MEMP_MAX, POOL_SOCKETS, POOL_DATAGRAMS, POOL_FRAMES, POOLS };

static const struct {
    int pool;
    const char *name;
    uint32_t limit;
} LIMITS[] = {
    {MEMP_RAW_PCB, "raw_pcb", 4},
    {MEMP_UDP_PCB, "udp_pcb", 64},
    {MEMP_TCP_PCB, "tcp_pcb", 128},
    {MEMP_TCP_PCB_LISTEN, "tcp_pcb_listen", 32},
    {MEMP_TCP_SEG, "tcp_seg", 4096},
    {MEMP_REASSDATA, "reassdata", 8},
    {MEMP_FRAG_PBUF, "frag_pbuf", 128},
    {MEMP_ARP_QUEUE, "arp_queue", 64},
    {MEMP_PBUF, "pbuf", 1024},
    {MEMP_PBUF_POOL, "pbuf_pool", 1024},
    {POOL_HEAP, "heap_bytes", 8u << 20},
    {POOL_SOCKETS, "sockets", 192},
    {POOL_DATAGRAMS, "datagram_bytes", 1u << 20},
    {POOL_FRAMES, "frame_bytes", 4u << 20},
};
#define LIMIT_COUNT ((int)(sizeof LIMITS / sizeof *LIMITS))

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

static net_stack *current;
static uint8_t *variables, *fresh;
static size_t variables_size;
static jmp_buf rescue;
static char inside;
static unsigned replaced;
enum { SAW_MEMP = 1, SAW_RAND = 2, SAW_INIT = 4, SAW_TIMERS = 8, SAW_ALL = 15 };

/* ---- Memory ---- */

static void *take(net_stack *stack, int pool, uint32_t amount, size_t size) {
    net_use *use = &stack->use[pool];
    struct block *block = NULL;
    if ((uint64_t)use->used + amount <= use->limit)
        block = malloc(sizeof *block + size);
    if (block == NULL) {
        use->refused++;
        return NULL;
    }
    use->used += amount;
    if (use->used > use->peak)
        use->peak = use->used;
    block->amount = amount;
    block->pool = (uint64_t)pool;
    block->next = stack->blocks;
    block->link = &stack->blocks;
    if (block->next != NULL)
        block->next->link = &block->next;
    stack->blocks = block;
    return block + 1;
}

static void give_back(net_stack *stack, void *memory) {
    struct block *block = (struct block *)memory - 1;
    if (memory == NULL)
        return;
    stack->use[block->pool].used -= (uint32_t)block->amount;
    *block->link = block->next;
    if (block->next != NULL)
        block->next->link = block->link;
    free(block);
}

void mem_init(void) {}
void *mem_malloc(mem_size_t size) { return take(current, POOL_HEAP, (uint32_t)size, size); }
void mem_free(void *memory) { give_back(current, memory); }
void *mem_trim(void *memory, mem_size_t size) { return memory; }

void *mem_calloc(mem_size_t count, mem_size_t size) {
    void *memory = mem_malloc(count * size);
    if (memory != NULL)
        memset(memory, 0, (size_t)count * size);
    return memory;
}

void memp_init(void) {}

/* Debian's 2.1.3 disagrees with itself: memp.c makes pool buffers of 592 bytes, pbuf.c writes 1,536 into them. */
static size_t element_size(memp_t type) {
    size_t size = memp_pools[type]->size;
    return type == MEMP_PBUF_POOL && size < POOL_BUFFER ? POOL_BUFFER : size;
}

void *memp_malloc(memp_t type) {
    replaced |= SAW_MEMP;
    return type < MEMP_MAX ? take(current, type, 1, element_size(type)) : NULL;
}

void memp_free(memp_t type, void *memory) { give_back(current, memory); }

/* ---- Time, randomness, threads, failed assertions ---- */

u32_t sys_now(void) { return current->now; }
u32_t sys_jiffies(void) { return current->now; }
void sys_timeouts_init(void) { replaced |= SAW_TIMERS; }

void tcp_timer_needed(void) {
    if (!current->tcp_ticking && (tcp_active_pcbs != NULL || tcp_tw_pcbs != NULL)) {
        current->tcp_ticking = true;
        current->tcp_due = current->now + TCP_TMR_INTERVAL;
    }
}

/* SplitMix64, by Sebastiano Vigna (public domain). */
static uint32_t draw(net_stack *stack) {
    uint64_t z = stack->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

u32_t tcp_next_iss(struct tcp_pcb *pcb) { return draw(current); }

/* lwIP begins to give out ports one above such a number, kept to its range of 14 bits: behind the last port it would
   come to port 0, which it takes for "none is left" (tcp_new_port and udp_new_port of 2.1.3). */
#define FIRST_PORT 0xc000
#define LAST_PORT 0x3fff

int replaced_rand(void) __asm__("rand");
int replaced_rand(void) {
    int number;
    replaced |= SAW_RAND;
    if (current == NULL)
        return 0;
    if (current->preset != 0) {
        number = (int)(current->preset - 1);
        current->preset = 0;
        return number;
    }
    number = (int)(draw(current) >> 1);
    if ((number & LAST_PORT) == LAST_PORT)
        number--;
    /* UDP asks first, then TCP. */
    if (current->ports_drawn < 2)
        current->ports[current->ports_drawn++] = (uint16_t)(FIRST_PORT + (number & LAST_PORT));
    return number;
}

void sys_init(void) { replaced |= SAW_INIT; }
sys_prot_t sys_arch_protect(void) { return 0; }
void sys_arch_unprotect(sys_prot_t level) {}
void sys_check_core_locking(void) {}

/* lwIP asks for two things "later, by the thread": to loop packets to itself, and to free memory when a pool is
   empty. Later is the end of the call. */
err_t tcpip_try_callback(tcpip_callback_fn function, void *argument) {
    for (int i = 0; i < current->deferred_count; i++)
        if (current->deferred[i].function == function && current->deferred[i].argument == argument)
            return ERR_OK;
    if (current->deferred_count == (int)(sizeof current->deferred / sizeof *current->deferred))
        return ERR_MEM;
    current->deferred[current->deferred_count++] = (struct deferred){function, argument};
    return ERR_OK;
}

static void run_deferred(net_stack *stack) {
    struct deferred now[sizeof stack->deferred / sizeof *stack->deferred];
    int count;
    while ((count = stack->deferred_count) != 0) {
        memcpy(now, stack->deferred, sizeof now);
        stack->deferred_count = 0;
        for (int i = 0; i < count; i++)
            now[i].function(now[i].argument);
    }
}

static void keep_message(const char *format, va_list arguments) {
    if (current != NULL)
        vsnprintf(current->assertion, sizeof current->assertion, format, arguments);
}

/* printf, as it is called by what was compiled with and without checks of buffer sizes. */
int replaced_printf_chk(int flag, const char *format, ...) __asm__("__printf_chk");
int replaced_printf_chk(int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep_message(format, arguments);
    va_end(arguments);
    return 0;
}

int replaced_printf(const char *format, ...) __asm__("printf");
int replaced_printf(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep_message(format, arguments);
    va_end(arguments);
    return 0;
}

void replaced_abort(void) __asm__("abort") __attribute__((noreturn));
void replaced_abort(void) {
    if (!inside || current == NULL)
        __builtin_trap();
    current->broken = true;
    longjmp(rescue, 1);
}

/* ---- Whose variables are in place ---- */

/* The library's writable block of memory, less what the loader made read-only. Exactly one, or it is not what we know. */
static int find_variables(struct dl_phdr_info *info, size_t size, void *argument) {
    uintptr_t code = (uintptr_t)lwip_init, begin = 0, end = 0, readonly = 0;
    int writable = 0;
    bool found = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + header->p_vaddr, to = from + header->p_memsz;
        if (header->p_type == PT_LOAD && from <= code && code < to)
            found = true;
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W)) {
            writable++;
            begin = from;
            end = to;
        }
        if (header->p_type == PT_GNU_RELRO)
            readonly = to & ~((uintptr_t)getpagesize() - 1);
    }
    if (readonly > begin)
        begin = readonly;
    if (found && writable == 1 && begin < end) {
        variables = (uint8_t *)begin;
        variables_size = end - begin;
    }
    return found;
}

static void put_in_place(net_stack *stack) {
    if (current == stack)
        return;
    if (current != NULL)
        memcpy(current->image, variables, variables_size);
    memcpy(variables, stack->image, variables_size);
    current = stack;
}

/* ARP entries only grow older while nothing happens, so their seconds are counted when something does. */
static void pass_seconds(net_stack *stack) {
    int32_t late = (int32_t)(stack->now - stack->second_due);
    if (late < 0)
        return;
    uint32_t seconds = (uint32_t)late / 1000 + 1;
    stack->second_due += seconds * 1000;
    if (seconds > ARP_MAXAGE + 10)
        seconds = ARP_MAXAGE + 10;
    while (seconds-- > 0) {
        etharp_tmr();
        ip_reass_tmr();
    }
}

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

static void leave(net_stack *stack) {
    if (stack->deferred_count != 0)
        run_deferred(stack);
    __atomic_clear(&inside, __ATOMIC_RELEASE);
}

/* ---- Frames out, changes of sockets ---- */

/* Frames lie one behind the other, each behind its length in two bytes. */
static err_t transmit(struct netif *netif, struct pbuf *packet) {
    net_stack *stack = netif->state;
    net_use *use = &stack->use[POOL_FRAMES];
    uint32_t size = packet->tot_len, end = use->used + 2 + size;
    if (end > stack->frames_size) {
        uint32_t bigger = end * 2 < 65536 ? 65536 : end * 2;
        uint8_t *frames = end <= use->limit ? realloc(stack->frames, bigger) : NULL;
        if (frames == NULL) {
            use->refused++;
            return ERR_MEM;
        }
        stack->frames = frames;
        stack->frames_size = bigger;
    }
    stack->frames[use->used] = (uint8_t)size;
    stack->frames[use->used + 1] = (uint8_t)(size >> 8);
    pbuf_copy_partial(packet, stack->frames + use->used + 2, (u16_t)size, 0);
    use->used = end;
    if (end > use->peak)
        use->peak = end;
    return ERR_OK;
}

int net_waiting(net_stack *stack) {
    return (stack->use[POOL_FRAMES].used ? NET_FRAMES : 0) | (stack->changed != NULL ? NET_CHANGES : 0);
}

uint32_t net_frames(net_stack *stack, uint8_t **records) {
    uint32_t size = stack->use[POOL_FRAMES].used;
    *records = stack->frames;
    stack->use[POOL_FRAMES].used = 0;
    return size;
}

static void note(net_socket *socket, int flags) {
    net_stack *stack = socket->stack;
    socket->flags |= flags;
    if (socket->listed)
        return;
    socket->listed = true;
    socket->next_changed = NULL;
    *stack->last_changed = socket;
    stack->last_changed = &socket->next_changed;
}

net_socket *net_change(net_stack *stack, uint32_t *id, int *flags) {
    net_socket *socket = stack->changed;
    *flags = 0;
    if (socket == NULL)
        return NULL;
    stack->changed = socket->next_changed;
    if (stack->changed == NULL)
        stack->last_changed = &stack->changed;
    *id = socket->id;
    *flags = socket->flags;
    socket->flags = 0;
    socket->listed = false;
    return socket;
}

static void unlist(net_socket *socket) {
    net_stack *stack = socket->stack;
    net_socket **link = &stack->changed;
    if (!socket->listed)
        return;
    while (*link != socket)
        link = &(*link)->next_changed;
    *link = socket->next_changed;
    if (stack->last_changed == &socket->next_changed)
        stack->last_changed = link;
}

static net_socket *new_socket(net_stack *stack, int kind) {
    net_socket *socket = take(stack, POOL_SOCKETS, 1, sizeof *socket);
    if (socket == NULL)
        return NULL;
    memset(socket, 0, sizeof *socket);
    socket->stack = stack;
    socket->kind = kind;
    socket->id = ++stack->next_id;
    socket->last = &socket->datagrams;
    return socket;
}

static void free_socket(net_socket *socket) {
    net_stack *stack = socket->stack;
    unlist(socket);
    if (socket->listener != NULL && socket->waiting)
        socket->listener->pending--;
    while (socket->datagrams != NULL) {
        struct datagram *first = socket->datagrams;
        socket->datagrams = first->next;
        give_back(stack, first);
    }
    free(socket->ring);
    give_back(stack, socket);
}

/* ---- Stacks ---- */

static err_t set_up(struct netif *netif) {
    net_stack *stack = netif->state;
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, stack->mac, 6);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    return ERR_OK;
}

static u8_t echo_arrived(void *argument, struct raw_pcb *pcb, struct pbuf *packet, const ip_addr_t *from);

static bool bring_up(net_stack *stack, uint32_t address, uint32_t netmask, uint32_t gateway) {
    ip4_addr_t ip, mask, gw;
    ip4_addr_set_u32(&ip, lwip_htonl(address));
    ip4_addr_set_u32(&mask, lwip_htonl(netmask));
    ip4_addr_set_u32(&gw, lwip_htonl(gateway));
    lwip_init();
    if (netif_add(&stack->netif, &ip, &mask, &gw, stack, set_up, ethernet_input) == NULL)
        return false;
    netif_set_default(&stack->netif);
    netif_set_up(&stack->netif);
    stack->echoes = new_socket(stack, NET_ECHO);
    stack->echoes->pcb.raw = raw_new(IP_PROTO_ICMP);
    raw_recv(stack->echoes->pcb.raw, echo_arrived, stack->echoes);
    return raw_bind(stack->echoes->pcb.raw, IP4_ADDR_ANY) == ERR_OK;
}

static bool start(net_stack *stack, uint32_t now, uint32_t address, uint32_t netmask, uint32_t gateway) {
    bool done;
    ENTER(stack, now, false, false);
    done = bring_up(stack, address, netmask, gateway);
    leave(stack);
    return done;
}

static net_stack *open_stack(const uint8_t *mac, uint32_t address, uint32_t netmask, uint32_t gateway, uint64_t seed,
                             uint32_t now) {
    net_stack *stack = calloc(1, sizeof *stack);
    if (stack == NULL)
        return NULL;
    stack->image = malloc(variables_size);
    if (stack->image == NULL) {
        free(stack);
        return NULL;
    }
    memcpy(stack->image, fresh, variables_size);
    memcpy(stack->mac, mac, 6);
    stack->random = seed;
    stack->last_changed = &stack->changed;
    stack->second_due = now + 1000;
    for (int i = 0; i < LIMIT_COUNT; i++)
        stack->use[LIMITS[i].pool].limit = LIMITS[i].limit;
    if (!start(stack, now, address, netmask, gateway)) {
        net_close(stack);
        return NULL;
    }
    return stack;
}

net_stack *net_open(const uint8_t *mac, uint32_t address, uint32_t netmask, uint32_t gateway, uint64_t seed,
                    uint32_t now) {
    return net_unusable() == NULL ? open_stack(mac, address, netmask, gateway, seed, now) : NULL;
}

void net_close(net_stack *stack) {
    while (stack->blocks != NULL) {
        struct block *block = stack->blocks;
        if (block->pool == POOL_SOCKETS)
            free(((net_socket *)(block + 1))->ring);
        stack->blocks = block->next;
        free(block);
    }
    if (current == stack)
        current = NULL;
    free(stack->frames);
    free(stack->image);
    free(stack);
}

int net_fail_assertion(net_stack *stack) {
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    pbuf_free(NULL);
    leave(stack);
    return ERR_OK;
}

/* Whether the structures of the headers are those of the library, as far as can be seen. */
static bool headers_fit(net_stack *stack) {
    static const struct {
        memp_t type;
        size_t size;
    } SIZES[] = {
        {MEMP_TCP_PCB, sizeof(struct tcp_pcb)},   {MEMP_TCP_PCB_LISTEN, sizeof(struct tcp_pcb_listen)},
        {MEMP_UDP_PCB, sizeof(struct udp_pcb)},   {MEMP_RAW_PCB, sizeof(struct raw_pcb)},
        {MEMP_TCP_SEG, sizeof(struct tcp_seg)},   {MEMP_REASSDATA, sizeof(struct ip_reassdata)},
        {MEMP_PBUF, sizeof(struct pbuf)},
    };
    struct pbuf *buffer = pbuf_alloc(PBUF_RAW, PBUF_POOL_BUFSIZE + 1, PBUF_POOL);
    bool fit = buffer != NULL && buffer->len == PBUF_POOL_BUFSIZE && buffer->next != NULL;
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        fit = fit && memp_pools[SIZES[i].type]->size == LWIP_MEM_ALIGN_SIZE(SIZES[i].size);
    pbuf_free(buffer);
    /* The interface announced itself by ARP, in a frame that has its address. */
    return fit && stack->use[POOL_FRAMES].used == 2 + SIZEOF_ETH_HDR + SIZEOF_ETHARP_HDR &&
           memcmp(stack->frames + 2 + 6, stack->mac, 6) == 0;
}

/* Why the library cannot be used, or NULL. Must be asked before anything else of lwIP is called. */
const char *net_unusable(void) {
    static const uint8_t mac[6] = {2};
    static const char *reason = "";
    net_stack *trial;
    if (reason == NULL || *reason)
        return reason;
    dl_iterate_phdr(find_variables, NULL);
    if (variables == NULL)
        return reason = "the variables of the library were not found";
    fresh = malloc(variables_size);
    if (fresh == NULL)
        return reason = "out of memory";
    memcpy(fresh, variables, variables_size);
    trial = open_stack(mac, 0x0A000001, 0xFFFFFF00, 0, 1, 0);
    if (replaced != SAW_ALL)
        reason = "the library does not let its functions be replaced";
    else if (trial == NULL)
        reason = "the library does not start";
    else
        reason = headers_fit(trial) ? NULL : "the library was built with other options than its headers say";
    if (reason == NULL && net_fail_assertion(trial) != NET_BROKEN)
        reason = "the library's assertions are not compiled in";
    if (trial != NULL)
        net_close(trial);
    return reason;
}

const char *net_version(void) { return LWIP_VERSION_STRING; }
const char *net_failed_assertion(net_stack *stack) { return stack->broken ? stack->assertion : ""; }
const char *net_pool_name(int pool) { return LIMITS[pool].name; }
int net_pools(void) { return LIMIT_COUNT; }
void net_limit_pool(net_stack *stack, int pool, uint32_t limit) { stack->use[LIMITS[pool].pool].limit = limit; }
net_use net_pool_use(net_stack *stack, int pool) { return stack->use[LIMITS[pool].pool]; }

/* ---- Frames in, timers ---- */

/* lwIP was built without its backlog, so a SYN for a full listener goes no further than this; the peer repeats it. */
static bool backlog_is_full(net_stack *stack, const uint8_t *frame, uint32_t size) {
    const uint8_t *ip = frame + SIZEOF_ETH_HDR, *tcp = ip + (ip[0] & 15) * 4;
    uint16_t port;
    uint32_t waiting = 0;
    struct tcp_pcb_listen *listener;
    if (ip[9] != IP_PROTO_TCP || tcp + TCP_HLEN > frame + size || (tcp[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
        return false;
    port = (uint16_t)(tcp[2] << 8 | tcp[3]);
    for (listener = tcp_listen_pcbs.listen_pcbs; listener != NULL; listener = listener->next)
        if (listener->local_port == port)
            break;
    if (listener == NULL)
        return false;
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
        waiting += pcb->state == SYN_RCVD && pcb->local_port == port;
    net_socket *socket = listener->callback_arg;
    return waiting + socket->pending >= socket->backlog;
}

/* A probe of a shut window may be acknowledged with all that was unsent, when a window update was lost. lwIP (2.1.3)
   lets the timer of the probes run on then, and stumbles over it at the next tick. */
static void stop_needless_probes(void) {
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next)
        if (pcb->unsent == NULL || pcb->unacked != NULL)
            pcb->persist_backoff = 0;
}

static void run_timers(net_stack *stack) {
    if (!stack->tcp_ticking || (int32_t)(stack->now - stack->tcp_due) < 0)
        return;
    stack->tcp_due += TCP_TMR_INTERVAL;
    if ((int32_t)(stack->now - stack->tcp_due) >= 0)
        stack->tcp_due = stack->now + TCP_TMR_INTERVAL;
    stop_needless_probes();
    tcp_tmr();
    stack->is_odd = !stack->is_odd;
    stack->tcp_ticking = tcp_active_pcbs != NULL || tcp_tw_pcbs != NULL;
}

/* lwIP (2.1.3, bug 56397) may keep a segment out of order that reaches beyond the window, and stumbles over it when the
   gap before it is filled. The peer sends again what is dropped here. */
static void drop_beyond_window(void) {
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
        struct tcp_seg *last = pcb->ooseq;
        if (last == NULL)
            continue;
        while (last->next != NULL)
            last = last->next;
        if (TCP_SEQ_GT(last->tcphdr->seqno + TCP_TCPLEN(last), pcb->rcv_nxt + pcb->rcv_wnd))
            tcp_free_ooseq(pcb);
    }
}

int net_input(net_stack *stack, uint32_t now, const uint8_t *frame, uint32_t size) {
    uint16_t type;
    struct pbuf *packet;
    if (size < SIZEOF_ETH_HDR + 20 || size > FRAME_LIMIT)
        return net_waiting(stack);
    type = (uint16_t)(frame[12] << 8 | frame[13]);
    if (type != ETHTYPE_IP && type != ETHTYPE_ARP)
        return net_waiting(stack);
    ENTER(stack, now, NET_BROKEN, NET_BUSY);
    if (type == ETHTYPE_ARP || !backlog_is_full(stack, frame, size)) {
        packet = pbuf_alloc(PBUF_RAW, (u16_t)size, PBUF_POOL);
        if (packet != NULL) {
            pbuf_take(packet, frame, (u16_t)size);
            if (ethernet_input(packet, &stack->netif) != ERR_OK)
                pbuf_free(packet);
            drop_beyond_window();
        }
    }
    leave(stack);
    return net_waiting(stack);
}

int net_poll(net_stack *stack, uint32_t now) {
    ENTER(stack, now, NET_BROKEN, NET_BUSY);
    run_timers(stack);
    leave(stack);
    return net_waiting(stack);
}

int64_t net_due(net_stack *stack, uint32_t now) {
    bool seconds = stack->use[MEMP_ARP_QUEUE].used != 0 || stack->use[MEMP_REASSDATA].used != 0;
    int64_t tcp = (int32_t)(stack->tcp_due - now), second = (int32_t)(stack->second_due - now);
    if (!seconds && !stack->tcp_ticking)
        return -1;
    int64_t due = !seconds || (stack->tcp_ticking && tcp < second) ? tcp : second;
    return due < 0 ? 0 : due;
}

/* ---- TCP ---- */

/* The connection is lwIP's alone from here on, or gone. */
static void part(net_socket *socket) {
    struct tcp_pcb *pcb = socket->pcb.tcp;
    tcp_arg(pcb, NULL);
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
    tcp_poll(pcb, NULL, 0);
    socket->pcb.tcp = NULL;
}

static void copy_into_ring(net_socket *socket, struct pbuf *packet) {
    uint32_t end = (socket->start + socket->unread) % RING_SIZE, size = packet->tot_len, first = RING_SIZE - end;
    if (first > size)
        first = size;
    pbuf_copy_partial(packet, socket->ring + end, (u16_t)first, 0);
    pbuf_copy_partial(packet, socket->ring, (u16_t)(size - first), (u16_t)first);
    socket->unread += size;
}

static err_t arrived(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
    net_socket *socket = argument;
    if (packet == NULL) {
        socket->ended = true;
        note(socket, NET_ENDED);
        /* After both FINs lwIP drops the connection some day without a word. */
        if (socket->sent_fin)
            part(socket);
        return ERR_OK;
    }
    if (socket->ring == NULL)
        socket->ring = malloc(RING_SIZE);
    if (socket->ring == NULL || packet->tot_len > RING_SIZE - socket->unread)
        return ERR_MEM; /* lwIP keeps the packet and tries again. */
    copy_into_ring(socket, packet);
    pbuf_free(packet);
    note(socket, NET_READABLE);
    return ERR_OK;
}

static err_t acknowledged(void *argument, struct tcp_pcb *pcb, u16_t size) {
    note(argument, NET_WRITABLE);
    return ERR_OK;
}

static err_t connected(void *argument, struct tcp_pcb *pcb, err_t error) {
    ((net_socket *)argument)->was_connected = true;
    note(argument, NET_CONNECTED);
    return ERR_OK;
}

static void failed(void *argument, err_t error) {
    net_socket *socket = argument;
    if (socket == NULL)
        return;
    socket->pcb.tcp = NULL;
    if (error == ERR_CLSD)
        return; /* Both sides had sent all: that is not a failure. */
    socket->error = error == ERR_RST && !socket->was_connected ? NET_REFUSED : error;
    note(socket, NET_FAILED);
}

static void adopt(net_socket *socket, struct tcp_pcb *pcb) {
    socket->pcb.tcp = pcb;
    socket->local_port = pcb->local_port;
    socket->remote_port = pcb->remote_port;
    socket->local_address = lwip_ntohl(ip_2_ip4(&pcb->local_ip)->addr);
    socket->remote_address = lwip_ntohl(ip_2_ip4(&pcb->remote_ip)->addr);
    tcp_nagle_disable(pcb);
    tcp_arg(pcb, socket);
    tcp_recv(pcb, arrived);
    tcp_sent(pcb, acknowledged);
    tcp_err(pcb, failed);
}

static err_t accepted(void *argument, struct tcp_pcb *pcb, err_t error) {
    net_socket *listener = argument, *socket;
    if (listener == NULL || pcb == NULL || error != ERR_OK)
        return ERR_VAL;
    socket = new_socket(listener->stack, NET_TCP);
    if (socket == NULL)
        return ERR_MEM;
    adopt(socket, pcb);
    socket->listener = listener;
    socket->listener_id = listener->id;
    socket->was_connected = socket->waiting = true;
    listener->pending++;
    note(socket, NET_ACCEPTED);
    return ERR_OK;
}

void net_taken(net_socket *accepted) {
    if (accepted->waiting && accepted->listener != NULL)
        accepted->listener->pending--;
    accepted->waiting = false;
}

static int begin_connecting(net_socket *socket, uint32_t address, uint16_t port, uint16_t local) {
    ip_addr_t to = IPADDR4_INIT(lwip_htonl(address));
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_V4);
    int error = pcb == NULL ? ERR_MEM : ERR_OK;
    if (pcb != NULL && local != 0)
        error = tcp_bind(pcb, IP4_ADDR_ANY, local);
    if (error == ERR_OK)
        error = tcp_connect(pcb, &to, port, connected);
    if (error == ERR_OK) {
        adopt(socket, pcb);
        if (local == 0)
            socket->stack->ports[1] = pcb->local_port;
    } else if (pcb != NULL)
        tcp_close(pcb);
    return error;
}

static int begin_listening(net_socket *socket, uint16_t port) {
    struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_V4), *listener = NULL;
    err_t error = ERR_MEM;
    if (pcb != NULL) {
        ip_set_option(pcb, SOF_REUSEADDR); /* Old connections in TIME_WAIT do not hold the port. */
        error = tcp_bind(pcb, IP4_ADDR_ANY, port);
    }
    if (error == ERR_OK)
        listener = tcp_listen_with_backlog_and_err(pcb, TCP_DEFAULT_LISTEN_BACKLOG, &error);
    if (listener == NULL) {
        if (pcb != NULL)
            tcp_close(pcb);
        return error;
    }
    socket->pcb.tcp = listener;
    socket->local_port = ((struct tcp_pcb_listen *)listener)->local_port;
    if (port == 0)
        socket->stack->ports[1] = socket->local_port;
    tcp_arg(listener, socket);
    tcp_accept(listener, accepted);
    return ERR_OK;
}

static void datagram_arrived(void *argument, struct udp_pcb *pcb, struct pbuf *packet, const ip_addr_t *from,
                             u16_t port);

static int begin_datagrams(net_socket *socket, uint16_t port) {
    struct udp_pcb *pcb = udp_new_ip_type(IPADDR_TYPE_V4);
    err_t error = pcb == NULL ? ERR_MEM : udp_bind(pcb, IP4_ADDR_ANY, port);
    if (error != ERR_OK) {
        if (pcb != NULL)
            udp_remove(pcb);
        return error;
    }
    ip_set_option(pcb, SOF_BROADCAST);
    socket->pcb.udp = pcb;
    socket->local_port = pcb->local_port;
    if (port == 0)
        socket->stack->ports[0] = pcb->local_port;
    udp_recv(pcb, datagram_arrived, socket);
    return ERR_OK;
}

static net_socket *begun(net_socket *socket, int *error) {
    net_stack *stack = socket->stack;
    leave(stack);
    if (*error == ERR_OK)
        return socket;
    free_socket(socket);
    return NULL;
}

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

net_socket *net_connect(net_stack *stack, uint32_t now, uint32_t address, uint16_t port, uint16_t local, int *error) {
    ENTER_WITH_SOCKET(stack, now, NET_TCP, error);
    *error = begin_connecting(socket, address, port, local);
    return begun(socket, error);
}

net_socket *net_listen(net_stack *stack, uint32_t now, uint16_t port, uint32_t backlog, int *error) {
    ENTER_WITH_SOCKET(stack, now, NET_LISTENER, error);
    socket->backlog = backlog;
    *error = begin_listening(socket, port);
    return begun(socket, error);
}

net_socket *net_udp(net_stack *stack, uint32_t now, uint16_t port, int *error) {
    ENTER_WITH_SOCKET(stack, now, NET_UDP, error);
    *error = begin_datagrams(socket, port);
    return begun(socket, error);
}

void net_info(net_socket *socket, net_socket_info *info) {
    bool tcp = socket->kind == NET_TCP && socket->pcb.tcp != NULL;
    *info = (net_socket_info){
        .id = socket->id, .listener = socket->listener_id, .kind = socket->kind, .error = socket->error,
        .local_address = socket->local_address, .remote_address = socket->remote_address,
        .local_port = socket->local_port, .remote_port = socket->remote_port,
        .unread = socket->kind == NET_TCP ? socket->unread : socket->datagram_count,
        .room = tcp && !socket->sent_fin ? (uint32_t)tcp_sndbuf(socket->pcb.tcp) : 0,
        .dropped = socket->dropped,
    };
}

/* Why bytes cannot be sent over a connection that lwIP no longer knows. */
static int gone(net_socket *socket) { return socket->error != 0 ? socket->error : ERR_CLSD; }

static int write_some(struct tcp_pcb *pcb, const uint8_t *data, uint32_t size) {
    uint32_t room = tcp_sndbuf(pcb), chunk = size < room ? size : room;
    err_t error = ERR_MEM;
    if (chunk > 0xFFFF)
        chunk = 0xFFFF;
    while (chunk > 0 && (error = tcp_write(pcb, data, (u16_t)chunk, TCP_WRITE_FLAG_COPY)) == ERR_MEM)
        chunk /= 2;
    tcp_output(pcb);
    if (error == ERR_OK)
        return (int)chunk;
    /* No room is told by 0, for an acknowledgement will make some; if none is awaited, memory is short elsewhere. */
    return error == ERR_MEM && (size == 0 || room == 0 || pcb->unacked != NULL || pcb->unsent != NULL) ? 0 : error;
}

int net_send(net_socket *socket, uint32_t now, const uint8_t *data, uint32_t size) {
    int result;
    ENTER(socket->stack, now, NET_BROKEN, NET_BUSY);
    if (socket->pcb.tcp == NULL)
        result = gone(socket);
    else
        result = socket->sent_fin ? ERR_CLSD : write_some(socket->pcb.tcp, data, size);
    leave(socket->stack);
    return result;
}

int net_receive(net_socket *socket, uint32_t now, uint8_t *into, uint32_t size) {
    uint32_t first;
    if (size > socket->unread)
        size = socket->unread;
    if (size == 0)
        return 0;
    ENTER(socket->stack, now, NET_BROKEN, NET_BUSY);
    first = RING_SIZE - socket->start < size ? RING_SIZE - socket->start : size;
    memcpy(into, socket->ring + socket->start, first);
    memcpy(into + first, socket->ring, size - first);
    socket->start = (socket->start + size) % RING_SIZE;
    socket->unread -= size;
    if (socket->pcb.tcp != NULL)
        tcp_recved(socket->pcb.tcp, (u16_t)size);
    leave(socket->stack);
    return (int)size;
}

static int send_fin(net_socket *socket) {
    err_t error;
    if (socket->pcb.tcp == NULL)
        return gone(socket);
    if (socket->sent_fin)
        return ERR_OK;
    error = tcp_shutdown(socket->pcb.tcp, 0, 1);
    if (error != ERR_OK)
        return error;
    socket->sent_fin = true;
    /* lwIP frees a connection on its last acknowledgement, and tells so by `failed`; TIME_WAIT needs no owner. */
    if (socket->pcb.tcp != NULL && socket->ended)
        part(socket);
    return ERR_OK;
}

int net_shutdown(net_socket *socket, uint32_t now) {
    int result;
    ENTER(socket->stack, now, NET_BROKEN, NET_BUSY);
    result = send_fin(socket);
    leave(socket->stack);
    return result;
}

/* Nobody waits any more for a connection that was closed here: it goes when the peer lets nothing pass for so long. */
static err_t give_up(void *argument, struct tcp_pcb *pcb) {
    tcp_abort(pcb);
    return ERR_ABRT;
}

static void release_tcp(net_socket *socket, bool abort) {
    struct tcp_pcb *pcb = socket->pcb.tcp;
    part(socket);
    /* lwIP itself resets for unread bytes only before its FIN is sent; after it the peer would wait forever. */
    if (abort || socket->unread != 0) {
        tcp_abort(pcb);
        return;
    }
    tcp_poll(pcb, give_up, ORPHAN_PATIENCE);
    tcp_close(pcb);
}

static void forget_listener(net_socket *socket) {
    for (struct block *block = socket->stack->blocks; block != NULL; block = block->next) {
        net_socket *other = (net_socket *)(block + 1);
        if (block->pool == POOL_SOCKETS && other->listener == socket)
            other->listener = NULL;
    }
    tcp_close(socket->pcb.tcp);
}

/* Lets go of a socket: its memory is free, lwIP finishes what it began. */
int net_release(net_socket *socket, uint32_t now, int abort) {
    net_stack *stack = socket->stack;
    ENTER(stack, now, NET_BROKEN, NET_BUSY);
    if (socket->kind == NET_TCP && socket->pcb.tcp != NULL)
        release_tcp(socket, abort);
    else if (socket->kind == NET_LISTENER)
        forget_listener(socket);
    else if (socket->kind == NET_UDP)
        udp_remove(socket->pcb.udp);
    free_socket(socket);
    leave(stack);
    return ERR_OK;
}

/* ---- Datagrams and echoes ---- */

/* Room for bytes that arrived, behind all others, or NULL. */
static struct datagram *new_datagram(net_socket *socket, uint32_t size, uint32_t address, uint16_t port) {
    struct datagram *datagram = NULL;
    if (socket->datagram_count < DATAGRAM_LIMIT)
        datagram = take(socket->stack, POOL_DATAGRAMS, size, sizeof *datagram + size);
    if (datagram == NULL)
        return NULL;
    *datagram = (struct datagram){.address = address, .port = port, .size = size};
    *socket->last = datagram;
    socket->last = &datagram->next;
    socket->datagram_count++;
    return datagram;
}

static void keep(net_socket *socket, struct pbuf *packet, uint32_t address, uint16_t port) {
    struct datagram *datagram = new_datagram(socket, packet->tot_len, address, port);
    if (datagram == NULL) {
        socket->dropped++;
        return;
    }
    pbuf_copy_partial(packet, datagram->data, packet->tot_len, 0);
    note(socket, NET_READABLE);
}

static void datagram_arrived(void *argument, struct udp_pcb *pcb, struct pbuf *packet, const ip_addr_t *from,
                             u16_t port) {
    keep(argument, packet, lwip_ntohl(ip_2_ip4(from)->addr), port);
    pbuf_free(packet);
}

/* Sees each ICMP packet with its IP header, and takes the echo replies. */
static u8_t echo_arrived(void *argument, struct raw_pcb *pcb, struct pbuf *packet, const ip_addr_t *from) {
    uint16_t header = (uint16_t)((pbuf_get_at(packet, 0) & 15) * 4);
    if (packet->tot_len < header + 8 || pbuf_get_at(packet, header) != ICMP_ER)
        return 0;
    pbuf_remove_header(packet, header);
    if (inet_chksum_pbuf(packet) == 0)
        keep(argument, packet, lwip_ntohl(ip_2_ip4(from)->addr), 0);
    pbuf_free(packet);
    return 1;
}

int net_send_to(net_socket *socket, uint32_t now, uint32_t address, uint16_t port, const uint8_t *data, uint32_t size) {
    ip_addr_t to = IPADDR4_INIT(lwip_htonl(address));
    struct pbuf *packet;
    int result = ERR_MEM;
    if (size > 65507)
        return ERR_VAL;
    ENTER(socket->stack, now, NET_BROKEN, NET_BUSY);
    packet = pbuf_alloc(PBUF_TRANSPORT, (u16_t)size, PBUF_RAM);
    if (packet != NULL) {
        pbuf_take(packet, data, (u16_t)size);
        result = udp_sendto(socket->pcb.udp, packet, &to, port);
        pbuf_free(packet);
    }
    leave(socket->stack);
    return result;
}

int net_receive_from(net_socket *socket, uint8_t *into, uint32_t size, uint32_t *address, uint32_t *port) {
    struct datagram *first = socket->datagrams;
    if (first == NULL)
        return NET_EMPTY;
    if (size > first->size)
        size = first->size;
    memcpy(into, first->data, size);
    *address = first->address;
    *port = first->port;
    socket->datagrams = first->next;
    if (first->next == NULL)
        socket->last = &socket->datagrams;
    socket->datagram_count--;
    give_back(socket->stack, first);
    return (int)size;
}

static err_t send_echo(net_stack *stack, const ip_addr_t *to, uint16_t identifier, uint16_t sequence,
                       const uint8_t *data, uint16_t size) {
    struct pbuf *packet = pbuf_alloc(PBUF_IP, (u16_t)(size + 8), PBUF_RAM);
    uint8_t header[8] = {ICMP_ECHO, 0, 0, 0, (uint8_t)(identifier >> 8), (uint8_t)identifier,
                         (uint8_t)(sequence >> 8), (uint8_t)sequence};
    uint16_t sum;
    err_t error;
    if (packet == NULL)
        return ERR_MEM;
    pbuf_take(packet, header, 8);
    pbuf_take_at(packet, data, size, 8);
    sum = inet_chksum_pbuf(packet);
    pbuf_take_at(packet, &sum, 2, 2);
    error = raw_sendto(stack->echoes->pcb.raw, packet, to);
    pbuf_free(packet);
    return error;
}

int net_ping(net_stack *stack, uint32_t now, uint32_t address, uint16_t identifier, uint16_t sequence,
             const uint8_t *data, uint32_t size) {
    ip_addr_t to = IPADDR4_INIT(lwip_htonl(address));
    int result;
    if (size > 65499)
        return ERR_VAL;
    ENTER(stack, now, NET_BROKEN, NET_BUSY);
    result = send_echo(stack, &to, identifier, sequence, data, (uint16_t)size);
    leave(stack);
    return result;
}

net_socket *net_echoes(net_stack *stack) { return stack->echoes; }

/* ---- Handing over: what is written down ---- */

/* Members of lwIP's structure that are taken over as they are, and the most that each may be. What is not here is a
   pointer, follows from the rest, or is what lwIP begins with. */
#define MEMBER(name, most) {offsetof(struct tcp_pcb, name), sizeof(((struct tcp_pcb *)0)->name), most}
#define ANY 0xFFFFFFFFu
static const struct {
    uint16_t offset, size;
    uint32_t most;
} MEMBERS[] = {
    MEMBER(state, TIME_WAIT), MEMBER(local_port, 0xFFFF), MEMBER(remote_port, 0xFFFF),
    MEMBER(so_options, SOF_INHERITED | SOF_BROADCAST), MEMBER(tos, 0xFF), MEMBER(ttl, 0xFF), MEMBER(prio, TCP_PRIO_MAX),
    MEMBER(flags, TF_ACK_DELAY | TF_ACK_NOW | TF_INFR | TF_CLOSEPEND | TF_RXCLOSED | TF_FIN | TF_NODELAY |
                      TF_NAGLEMEMERR | TF_WND_SCALE | TF_RTO),
    MEMBER(polltmr, 0xFF), MEMBER(pollinterval, 0xFF), MEMBER(tmr, ANY),
    MEMBER(rcv_nxt, ANY), MEMBER(rcv_wnd, TCP_WND), MEMBER(rcv_ann_wnd, TCP_WND), MEMBER(rcv_ann_right_edge, ANY),
    MEMBER(rtime, 0xFFFF), MEMBER(mss, TCP_MSS), MEMBER(rttest, ANY), MEMBER(rtseq, ANY), MEMBER(sa, 0xFFFF),
    MEMBER(sv, 0xFFFF), MEMBER(rto, 0x7FFF), MEMBER(nrtx, TCP_MAXRTX), MEMBER(dupacks, 0xFF),
    MEMBER(lastack, ANY), MEMBER(cwnd, ANY), MEMBER(ssthresh, ANY), MEMBER(rto_end, ANY),
    MEMBER(snd_nxt, ANY), MEMBER(snd_wl1, ANY), MEMBER(snd_wl2, ANY), MEMBER(snd_lbb, ANY), MEMBER(snd_wnd, ANY),
    MEMBER(snd_wnd_max, ANY), MEMBER(snd_buf, TCP_SND_BUF), MEMBER(unsent_oversize, TCP_MSS),
    MEMBER(bytes_acked, ANY), MEMBER(persist_cnt, 0xFF), MEMBER(persist_backoff, 7), MEMBER(persist_probe, 0xFF),
    MEMBER(keep_cnt_sent, 0xFF), MEMBER(snd_scale, 14), MEMBER(rcv_scale, TCP_RCV_SCALE),
};
#define MEMBER_COUNT ((int)(sizeof MEMBERS / sizeof *MEMBERS))
/* What a header may have: FIN, SYN, PSH, ACK. */
#define SEGMENT_FLAGS (TCP_FIN | TCP_SYN | TCP_PSH | TCP_ACK)
#define SEGMENT_OPTIONS (TF_SEG_OPTS_MSS | TF_SEG_OPTS_WND_SCALE)

int net_connection_members(void) { return MEMBER_COUNT; }

static err_t see_id(struct netif *netif, struct pbuf *packet, const ip4_addr_t *to) {
    ((net_stack *)netif->state)->seen_id = lwip_ntohs(IPH_ID((struct ip_hdr *)packet->payload));
    return ERR_OK;
}

/* lwIP numbers its packets, and says the number only in a packet: so it makes some that go nowhere, until it has made
   the one with this number, or just one if `number` is negative. */
static err_t count_packets(net_stack *stack, int number) {
    const ip4_addr_t *here = netif_ip4_addr(&stack->netif), somewhere = {~here->addr};
    struct pbuf *packet = pbuf_alloc(PBUF_IP, 0, PBUF_RAM);
    err_t error = packet == NULL ? ERR_MEM : ERR_OK;
    stack->netif.output = see_id;
    for (int count = 0; error == ERR_OK && count <= 0xFFFF; count++) {
        error = ip4_output_if_src(packet, here, &somewhere, 1, 0, IP_PROTO_ICMP, &stack->netif);
        pbuf_remove_header(packet, IP_HLEN);
        if (number < 0 || stack->seen_id == number)
            break;
    }
    stack->netif.output = etharp_output;
    if (packet != NULL)
        pbuf_free(packet);
    return error;
}

static void nothing(void) {}

void net_stack_numbers(net_stack *stack, uint32_t now, uint32_t *numbers) {
    ENTER(stack, now, nothing(), nothing());
    count_packets(stack, -1);
    numbers[NET_RANDOM_LOW] = (uint32_t)stack->random;
    numbers[NET_RANDOM_HIGH] = (uint32_t)(stack->random >> 32);
    numbers[NET_LAST_SOCKET] = stack->next_id;
    numbers[NET_TICKS] = tcp_ticks;
    numbers[NET_IS_ODD] = stack->is_odd;
    numbers[NET_IS_TICKING] = stack->tcp_ticking;
    numbers[NET_TICK_DUE] = stack->tcp_due;
    numbers[NET_SECOND_DUE] = stack->second_due;
    numbers[NET_UDP_PORT] = stack->ports[0];
    numbers[NET_TCP_PORT] = stack->ports[1];
    numbers[NET_PACKET_ID] = stack->seen_id;
    leave(stack);
}

void net_socket_numbers(net_socket *socket, uint32_t *numbers) {
    const uint32_t found[NET_SOCKET_NUMBERS] = {
        [NET_SOCKET_ID] = socket->id, [NET_SOCKET_KIND] = (uint32_t)socket->kind,
        [NET_SOCKET_ERROR] = (uint32_t)socket->error, [NET_WAS_CONNECTED] = socket->was_connected,
        [NET_SENT_FIN] = socket->sent_fin, [NET_HAS_ENDED] = socket->ended, [NET_IS_WAITING] = socket->waiting,
        [NET_LISTENER_ID] = socket->listener_id, [NET_BACKLOG] = socket->backlog, [NET_DROPPED] = socket->dropped,
        [NET_LOCAL_ADDRESS] = socket->local_address, [NET_REMOTE_ADDRESS] = socket->remote_address,
        [NET_LOCAL_PORT] = socket->local_port, [NET_REMOTE_PORT] = socket->remote_port,
    };
    memcpy(numbers, found, sizeof found);
}

/* The bytes that nobody has read yet; they stay where they are. */
uint32_t net_unread(net_socket *socket, uint8_t *into) {
    uint32_t first = RING_SIZE - socket->start < socket->unread ? RING_SIZE - socket->start : socket->unread;
    if (socket->ring != NULL) {
        memcpy(into, socket->ring + socket->start, first);
        memcpy(into + first, socket->ring, socket->unread - first);
    }
    return socket->unread;
}

int net_datagram(net_socket *socket, uint32_t index, uint8_t *into, uint32_t *address, uint32_t *port) {
    struct datagram *datagram = socket->datagrams;
    while (datagram != NULL && index-- > 0)
        datagram = datagram->next;
    if (datagram == NULL)
        return NET_EMPTY;
    memcpy(into, datagram->data, datagram->size);
    *address = datagram->address;
    *port = datagram->port;
    return (int)datagram->size;
}

/* First the connections that are in use, then those in TIME_WAIT. */
static struct tcp_pcb *connection_at(uint32_t index) {
    struct tcp_pcb *pcb = tcp_active_pcbs;
    while (pcb != NULL && index > 0) {
        pcb = pcb->next;
        index--;
    }
    if (pcb == NULL)
        for (pcb = tcp_tw_pcbs; pcb != NULL && index > 0; index--)
            pcb = pcb->next;
    return pcb;
}

static void read_numbers(const struct tcp_pcb *pcb, uint32_t *numbers) {
    const net_socket *socket = pcb->state == SYN_RCVD ? NULL : pcb->callback_arg;
    numbers[NET_ITS_SOCKET] = socket == NULL ? 0 : socket->id;
    numbers[NET_IS_LINGERING] = pcb->state == TIME_WAIT;
    numbers[NET_GIVES_UP] = pcb->poll == give_up;
    numbers[NET_UNTAKEN_FLAGS] = pcb->refused_data == NULL ? 0 : pcb->refused_data->flags;
    numbers[NET_TO] = lwip_ntohl(ip_2_ip4(&pcb->remote_ip)->addr);
    for (int i = 0; i < MEMBER_COUNT; i++) {
        numbers[NET_FIRST_MEMBER + i] = 0;
        memcpy(&numbers[NET_FIRST_MEMBER + i], (const uint8_t *)pcb + MEMBERS[i].offset, MEMBERS[i].size);
    }
}

/* 1, or 0 if there are not so many. */
int net_connection_numbers(net_stack *stack, uint32_t index, uint32_t *numbers) {
    struct tcp_pcb *pcb;
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    pcb = connection_at(index);
    if (pcb != NULL)
        read_numbers(pcb, numbers);
    leave(stack);
    return pcb != NULL;
}

/* Bytes that lwIP has acknowledged and the socket had no room for. */
int net_untaken(net_stack *stack, uint32_t index, uint8_t *into) {
    struct pbuf *packet;
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    packet = connection_at(index)->refused_data;
    if (packet != NULL)
        pbuf_copy_partial(packet, into, packet->tot_len, 0);
    leave(stack);
    return packet == NULL ? 0 : packet->tot_len;
}

/* The bytes in a segment that was sent and is not acknowledged, or, behind those, that is to be sent. */
int net_segment(net_stack *stack, uint32_t index, uint32_t segment, uint32_t *numbers, uint8_t *into) {
    struct tcp_pcb *pcb;
    struct tcp_seg *found;
    bool is_sent = true;
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    pcb = connection_at(index);
    for (found = pcb->unacked; found != NULL && segment > 0; segment--)
        found = found->next;
    if (found == NULL) {
        is_sent = false;
        for (found = pcb->unsent; found != NULL && segment > 0; segment--)
            found = found->next;
    }
    if (found != NULL) {
        numbers[NET_IS_SENT] = is_sent;
        numbers[NET_SEQUENCE] = lwip_ntohl(found->tcphdr->seqno);
        numbers[NET_TCP_FLAGS] = TCPH_FLAGS(found->tcphdr);
        numbers[NET_OPTIONS] = found->flags & ~TF_SEG_DATA_CHECKSUMMED;
        pbuf_copy_partial(found->p, into, found->len,
                          (u16_t)((uint8_t *)found->tcphdr - (uint8_t *)found->p->payload +
                                  TCPH_HDRLEN_BYTES(found->tcphdr)));
    }
    leave(stack);
    return found == NULL ? NET_EMPTY : found->len;
}

/* 1, 0 if there is none at this place of the table, NET_EMPTY behind its end. */
int net_neighbour(net_stack *stack, uint32_t index, uint32_t *address, uint8_t *mac) {
    ip4_addr_t *ip;
    struct netif *netif;
    struct eth_addr *hardware;
    int found;
    if (index >= ARP_TABLE_SIZE)
        return NET_EMPTY;
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    found = etharp_get_entry(index, &ip, &netif, &hardware);
    if (found) {
        *address = lwip_ntohl(ip->addr);
        memcpy(mac, hardware, ETH_HWADDR_LEN);
    }
    leave(stack);
    return found;
}

/* ---- Handing over: what is taken up ---- */

static bool is_port(uint32_t number) { return number >= FIRST_PORT && number <= FIRST_PORT + LAST_PORT; }

/* lwIP is to give out the port behind this one next. */
static void begin_at(net_stack *stack, uint32_t port, void (*draw_port)(void)) {
    stack->preset = port - FIRST_PORT + 1;
    draw_port();
}

/* A fresh stack, of which nobody has heard, goes on where another was. */
int net_go_on(net_stack *stack, uint32_t now, const uint32_t *numbers) {
    int error;
    if (numbers[NET_IS_ODD] > 1 || numbers[NET_IS_TICKING] > 1 || numbers[NET_LAST_SOCKET] < stack->echoes->id ||
        (int32_t)(numbers[NET_TICK_DUE] - now) > (numbers[NET_IS_TICKING] ? TCP_TMR_INTERVAL : INT32_MAX) ||
        (int32_t)(numbers[NET_SECOND_DUE] - now) > 1000 || numbers[NET_PACKET_ID] > 0xFFFF ||
        !is_port(numbers[NET_UDP_PORT]) || !is_port(numbers[NET_TCP_PORT]))
        return ERR_VAL;
    ENTER(stack, now, NET_BROKEN, NET_BUSY);
    stack->use[POOL_FRAMES].used = 0; /* It has announced itself; that was done long ago. */
    error = count_packets(stack, (int)((numbers[NET_PACKET_ID] - 1) & 0xFFFF));
    begin_at(stack, numbers[NET_UDP_PORT], udp_init);
    begin_at(stack, numbers[NET_TCP_PORT], tcp_init);
    if (numbers[NET_IS_ODD])
        tcp_tmr();
    tcp_ticks = numbers[NET_TICKS];
    stack->is_odd = numbers[NET_IS_ODD];
    stack->tcp_ticking = numbers[NET_IS_TICKING];
    stack->tcp_due = numbers[NET_TICK_DUE];
    stack->second_due = numbers[NET_SECOND_DUE];
    stack->ports[0] = (uint16_t)numbers[NET_UDP_PORT];
    stack->ports[1] = (uint16_t)numbers[NET_TCP_PORT];
    stack->next_id = numbers[NET_LAST_SOCKET];
    stack->random = (uint64_t)numbers[NET_RANDOM_HIGH] << 32 | numbers[NET_RANDOM_LOW];
    leave(stack);
    return error;
}

/* A neighbour is learnt as any is: from its answer. */
int net_put_neighbour(net_stack *stack, uint32_t now, uint32_t address, const uint8_t *mac) {
    uint8_t frame[SIZEOF_ETH_HDR + SIZEOF_ETHARP_HDR] = {0};
    static const uint8_t kind[] = {ETHTYPE_ARP >> 8, ETHTYPE_ARP & 0xFF, 0, 1, ETHTYPE_IP >> 8, 0, ETH_HWADDR_LEN, 4, 0,
                                   ARP_REPLY};
    uint32_t from = lwip_htonl(address);
    if (mac[0] & 1 || address == 0 || (address & lwip_ntohl(netif_ip4_netmask(&stack->netif)->addr)) !=
                          lwip_ntohl(netif_ip4_addr(&stack->netif)->addr & netif_ip4_netmask(&stack->netif)->addr))
        return ERR_VAL;
    memcpy(frame, stack->mac, 6);
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 12, kind, sizeof kind);
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, &from, 4);
    memcpy(frame + 32, stack->mac, 6);
    memcpy(frame + 38, &netif_ip4_addr(&stack->netif)->addr, 4);
    return net_input(stack, now, frame, sizeof frame);
}

static net_socket *find_socket(net_stack *stack, uint32_t id) {
    for (struct block *block = stack->blocks; block != NULL; block = block->next)
        if (block->pool == POOL_SOCKETS && ((net_socket *)(block + 1))->id == id)
            return (net_socket *)(block + 1);
    return NULL;
}

static bool socket_is_sane(net_stack *stack, const uint32_t *numbers, uint32_t size) {
    int32_t error = (int32_t)numbers[NET_SOCKET_ERROR];
    return numbers[NET_SOCKET_ID] != 0 && numbers[NET_SOCKET_ID] <= stack->next_id &&
           find_socket(stack, numbers[NET_SOCKET_ID]) == NULL &&
           (error == NET_REFUSED || (error <= 0 && error >= ERR_ARG)) &&
           numbers[NET_WAS_CONNECTED] <= 1 && numbers[NET_SENT_FIN] <= 1 && numbers[NET_HAS_ENDED] <= 1 &&
           numbers[NET_IS_WAITING] <= 1 && numbers[NET_LOCAL_PORT] - 1 < 0xFFFF && numbers[NET_REMOTE_PORT] <= 0xFFFF &&
           (size == 0 || (numbers[NET_SOCKET_KIND] == NET_TCP && size <= RING_SIZE));
}

static int fill_in(net_socket *socket, const uint32_t *numbers, const uint8_t *unread, uint32_t size) {
    net_socket *listener = find_socket(socket->stack, numbers[NET_LISTENER_ID]);
    if (listener != NULL && listener->kind != NET_LISTENER)
        return ERR_VAL;
    socket->error = (int)numbers[NET_SOCKET_ERROR];
    socket->was_connected = numbers[NET_WAS_CONNECTED];
    socket->sent_fin = numbers[NET_SENT_FIN];
    socket->ended = numbers[NET_HAS_ENDED];
    socket->listener = listener;
    socket->listener_id = numbers[NET_LISTENER_ID];
    socket->waiting = numbers[NET_IS_WAITING];
    if (socket->waiting && listener == NULL)
        return ERR_VAL;
    if (socket->waiting)
        listener->pending++;
    socket->local_address = numbers[NET_LOCAL_ADDRESS];
    socket->remote_address = numbers[NET_REMOTE_ADDRESS];
    socket->local_port = (uint16_t)numbers[NET_LOCAL_PORT];
    socket->remote_port = (uint16_t)numbers[NET_REMOTE_PORT];
    if (size == 0)
        return ERR_OK;
    socket->ring = malloc(RING_SIZE);
    if (socket->ring == NULL)
        return ERR_MEM;
    memcpy(socket->ring, unread, size);
    socket->unread = size;
    return ERR_OK;
}

/* A socket with what is unread; a listener before what it has accepted. */
net_socket *net_put_socket(net_stack *stack, uint32_t now, const uint32_t *numbers, const uint8_t *unread,
                           uint32_t size, int *error) {
    uint32_t last = stack->next_id;
    *error = ERR_VAL;
    if (numbers[NET_SOCKET_KIND] > NET_UDP || !socket_is_sane(stack, numbers, size))
        return NULL;
    ENTER_WITH_SOCKET(stack, now, (int)numbers[NET_SOCKET_KIND], error);
    stack->next_id = last;
    socket->id = numbers[NET_SOCKET_ID];
    switch (socket->kind) {
    case NET_LISTENER:
        socket->backlog = numbers[NET_BACKLOG];
        *error = begin_listening(socket, (uint16_t)numbers[NET_LOCAL_PORT]);
        break;
    case NET_UDP:
        socket->dropped = numbers[NET_DROPPED];
        *error = begin_datagrams(socket, (uint16_t)numbers[NET_LOCAL_PORT]);
        break;
    default:
        *error = fill_in(socket, numbers, unread, size);
    }
    return begun(socket, error);
}

int net_put_datagram(net_socket *socket, uint32_t address, uint32_t port, const uint8_t *data, uint32_t size) {
    struct datagram *datagram = NULL;
    if ((socket->kind == NET_UDP || socket->kind == NET_ECHO) && port <= 0xFFFF && size <= 0xFFFF)
        datagram = new_datagram(socket, size, address, (uint16_t)port);
    if (datagram == NULL)
        return ERR_VAL;
    memcpy(datagram->data, data, size);
    return ERR_OK;
}

static bool is_taken(const struct tcp_pcb *pcb, const struct tcp_pcb *other) {
    for (; other != NULL; other = other->next)
        if (other != pcb && other->local_port == pcb->local_port && other->remote_port == pcb->remote_port &&
            ip_addr_cmp(&other->remote_ip, &pcb->remote_ip))
            return true;
    return false;
}

static bool take_numbers(struct tcp_pcb *pcb, const uint32_t *numbers) {
    ip4_addr_t to;
    for (int i = 0; i < MEMBER_COUNT; i++) {
        uint32_t number = numbers[NET_FIRST_MEMBER + i], most = MEMBERS[i].most;
        if (number > most)
            return false;
        memcpy((uint8_t *)pcb + MEMBERS[i].offset, &number, MEMBERS[i].size);
    }
    ip4_addr_set_u32(&to, lwip_htonl(numbers[NET_TO]));
    if (ip4_addr_isany_val(to) || ip4_addr_ismulticast(&to) || pcb->mss == 0 || pcb->local_port == 0 ||
        pcb->remote_port == 0 || numbers[NET_GIVES_UP] > 1 || numbers[NET_IS_LINGERING] != (pcb->state == TIME_WAIT))
        return false;
    ip_addr_copy_from_ip4(pcb->remote_ip, to);
    ip_addr_copy_from_ip4(pcb->local_ip, *netif_ip4_addr(&current->netif));
    return pcb->state >= SYN_SENT && !is_taken(pcb, tcp_active_pcbs) && !is_taken(pcb, tcp_tw_pcbs);
}

/* Whose it is: a socket's, a listener's as long as it is half-open, or nobody's. */
static bool find_owner(struct tcp_pcb *pcb, const uint32_t *numbers) {
    net_socket *socket = numbers[NET_ITS_SOCKET] == 0 ? NULL : find_socket(current, numbers[NET_ITS_SOCKET]);
    if (numbers[NET_ITS_SOCKET] != 0) {
        tcpflags_t flags = pcb->flags;
        if (socket == NULL || socket->kind != NET_TCP || socket->pcb.tcp != NULL || socket->error != 0 ||
            pcb->state == SYN_RCVD || numbers[NET_GIVES_UP])
            return false;
        adopt(socket, pcb);
        pcb->flags = flags;
        pcb->connected = connected;
    } else if (pcb->state == SYN_RCVD) {
        struct tcp_pcb_listen *listener = tcp_listen_pcbs.listen_pcbs;
        while (listener != NULL && listener->local_port != pcb->local_port)
            listener = listener->next;
        if (listener == NULL)
            return false;
        pcb->listener = listener;
        pcb->callback_arg = listener->callback_arg;
    } else if (numbers[NET_GIVES_UP])
        pcb->poll = give_up;
    return true;
}

static struct tcp_pcb *put_connection(const uint32_t *numbers, const uint8_t *untaken, uint32_t size, int *error) {
    net_use *use = &current->use[MEMP_TCP_PCB];
    struct tcp_pcb *pcb = use->used < use->limit ? tcp_new_ip_type(IPADDR_TYPE_V4) : NULL;
    *error = pcb == NULL ? ERR_MEM : ERR_VAL;
    if (pcb == NULL)
        return NULL;
    if (!take_numbers(pcb, numbers) || !find_owner(pcb, numbers) || size > TCP_WND)
        return NULL;
    if (size != 0) {
        pcb->refused_data = pbuf_alloc(PBUF_RAW, (u16_t)size, PBUF_RAM);
        if (pcb->refused_data == NULL) {
            *error = ERR_MEM;
            return NULL;
        }
        pbuf_take(pcb->refused_data, untaken, (u16_t)size);
        pcb->refused_data->flags |= numbers[NET_UNTAKEN_FLAGS] & (PBUF_FLAG_PUSH | PBUF_FLAG_TCP_FIN);
    }
    if (pcb->state == TIME_WAIT)
        TCP_REG(&tcp_tw_pcbs, pcb);
    else
        TCP_REG(&tcp_active_pcbs, pcb);
    *error = ERR_OK;
    return pcb;
}

/* A connection, before all those that were put before. After an error the stack is to be closed. */
net_connection *net_put_connection(net_stack *stack, uint32_t now, const uint32_t *numbers, const uint8_t *untaken,
                                   uint32_t size, int *error) {
    struct tcp_pcb *pcb;
    *error = NET_BROKEN;
    ENTER(stack, now, NULL, NULL);
    pcb = put_connection(numbers, untaken, size, error);
    leave(stack);
    return (net_connection *)pcb;
}

static struct tcp_seg *new_segment(struct tcp_pcb *pcb, const uint32_t *numbers, const uint8_t *data, uint16_t size) {
    uint8_t options = (uint8_t)numbers[NET_OPTIONS], length = LWIP_TCP_OPT_LENGTH(options);
    uint16_t more = numbers[NET_IS_SENT] ? 0 : TCP_MSS - size;
    struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, (u16_t)(length + size + more), PBUF_RAM);
    struct tcp_seg *segment = packet == NULL ? NULL : memp_malloc(MEMP_TCP_SEG);
    if (segment == NULL)
        return NULL;
    packet->len = packet->tot_len = (u16_t)(length + size);
    pbuf_take_at(packet, data, size, length);
    *segment = (struct tcp_seg){.p = packet, .len = size, .flags = options};
    if (size != 0) {
        segment->chksum = (u16_t)~inet_chksum((uint8_t *)packet->payload + length, size);
        segment->chksum_swapped = size & 1;
        if (size & 1)
            segment->chksum = SWAP_BYTES_IN_WORD(segment->chksum);
        segment->flags |= TF_SEG_DATA_CHECKSUMMED;
    }
    pbuf_add_header(packet, TCP_HLEN);
    segment->tcphdr = packet->payload;
    memset(segment->tcphdr, 0, TCP_HLEN);
    segment->tcphdr->src = lwip_htons(pcb->local_port);
    segment->tcphdr->dest = lwip_htons(pcb->remote_port);
    segment->tcphdr->seqno = lwip_htonl(numbers[NET_SEQUENCE]);
    TCPH_HDRLEN_FLAGS_SET(segment->tcphdr, 5 + length / 4, numbers[NET_TCP_FLAGS]);
    return segment;
}

/* A segment that was sent, or is to be sent, behind all that were put before. */
int net_put_segment(net_stack *stack, net_connection *connection, const uint32_t *numbers, const uint8_t *data,
                    uint32_t size) {
    struct tcp_pcb *pcb = (struct tcp_pcb *)connection;
    struct tcp_seg **link = numbers[NET_IS_SENT] ? &pcb->unacked : &pcb->unsent, *segment;
    if (size > TCP_MSS || numbers[NET_IS_SENT] > 1 || (numbers[NET_TCP_FLAGS] & ~(uint32_t)SEGMENT_FLAGS) != 0 ||
        (numbers[NET_OPTIONS] & ~(uint32_t)SEGMENT_OPTIONS) != 0 || pcb->state == TIME_WAIT)
        return ERR_VAL;
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    segment = new_segment(pcb, numbers, data, (uint16_t)size);
    while (*link != NULL)
        link = &(*link)->next;
    *link = segment;
    if (segment != NULL)
        pcb->snd_queuelen++;
    leave(stack);
    return segment == NULL ? ERR_MEM : ERR_OK;
}

/* Takes the segment that comes next in the stream out of two queues. */
static struct tcp_seg *next_segment(struct tcp_seg **one, struct tcp_seg **other, uint32_t sequence) {
    struct tcp_seg **from = *one != NULL && lwip_ntohl((*one)->tcphdr->seqno) == sequence ? one : other, *found = *from;
    if (found == NULL || lwip_ntohl(found->tcphdr->seqno) != sequence)
        return NULL;
    *from = found->next;
    return found;
}

/* Whether the segments are a stream without a gap, from the first byte that is not acknowledged to the last. */
static bool is_whole(const struct tcp_pcb *pcb) {
    struct tcp_seg *sent = pcb->unacked, *unsent = pcb->unsent, *found;
    uint32_t sequence = pcb->lastack, most;
    bool is_first = true, has_ended = false;
    if (sent != NULL)
        sequence = lwip_ntohl(sent->tcphdr->seqno);
    if (unsent != NULL && (sent == NULL || TCP_SEQ_LT(lwip_ntohl(unsent->tcphdr->seqno), sequence)))
        sequence = lwip_ntohl(unsent->tcphdr->seqno);
    if (pcb->lastack - sequence > TCP_MSS)
        return false;
    while (sent != NULL || unsent != NULL) {
        found = next_segment(&sent, &unsent, sequence);
        if (found == NULL || has_ended)
            return false;
        uint8_t flags = TCPH_FLAGS(found->tcphdr);
        bool is_syn = flags & TCP_SYN;
        if (is_syn && (!is_first || found->len != 0 || (pcb->state != SYN_SENT && pcb->state != SYN_RCVD)))
            return false;
        if (!is_syn && (found->flags & SEGMENT_OPTIONS || (found->len == 0 && !(flags & TCP_FIN))))
            return false;
        has_ended = flags & TCP_FIN;
        is_first = false;
        sequence += TCP_TCPLEN(found);
    }
    /* Where a FIN was added to a segment with bytes, lwIP does not count it. */
    most = sequence - pcb->lastack;
    return sequence - pcb->snd_lbb <= (pcb->flags & TF_FIN ? 1 : 0) && pcb->snd_nxt - pcb->lastack <= most &&
           most <= TCP_SND_BUF + 2 - pcb->snd_buf;
}

/* Whether all of a connection is there and fits together; NET_BROKEN, NET_BUSY, ERR_VAL. */
int net_settle(net_stack *stack, net_connection *connection) {
    struct tcp_pcb *pcb = (struct tcp_pcb *)connection;
    struct tcp_seg *last = pcb->unsent;
    bool is_sane;
    ENTER(stack, stack->now, NET_BROKEN, NET_BUSY);
    while (last != NULL && last->next != NULL)
        last = last->next;
    is_sane = pcb->unsent_oversize <= (last == NULL ? 0 : TCP_MSS - last->len) && is_whole(pcb);
    leave(stack);
    return is_sane ? ERR_OK : ERR_VAL;
}
