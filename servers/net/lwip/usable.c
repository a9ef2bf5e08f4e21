/* Whether the library of this machine is the one that all this was written for. */

#define _GNU_SOURCE
#include <link.h>
#include <stdlib.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip4_frag.h"
#include "lwip/priv/memp_priv.h"
#include "lwip/prot/ethernet.h"

#include "private.h"

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
