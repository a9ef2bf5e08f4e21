/* The memory of stacks: each has its own blocks, counted and limited by kind. What lwIP calls for memory is here. */

#include <stdlib.h>

#include "lwip/mem.h"
#include "lwip/priv/memp_priv.h"

#include "private.h"

#define POOL_BUFFER (LWIP_MEM_ALIGN_SIZE(sizeof(struct pbuf)) + LWIP_MEM_ALIGN_SIZE(PBUF_POOL_BUFSIZE))

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

void *take(net_stack *stack, int pool, uint32_t amount, size_t size) {
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

void give_back(net_stack *stack, void *memory) {
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

void set_limits(net_stack *stack) {
    for (int i = 0; i < LIMIT_COUNT; i++)
        stack->use[LIMITS[i].pool].limit = LIMITS[i].limit;
}

const char *net_pool_name(int pool) { return LIMITS[pool].name; }
int net_pools(void) { return LIMIT_COUNT; }
void net_limit_pool(net_stack *stack, int pool, uint32_t limit) { stack->use[LIMITS[pool].pool].limit = limit; }
net_use net_pool_use(net_stack *stack, int pool) { return stack->use[LIMITS[pool].pool]; }
