/* Stacks: they are made, entered and closed, each with its own copy of the library's variables. */

#include <stdlib.h>

#include "lwip/init.h"
#include "netif/ethernet.h"

#include "private.h"

net_stack *current;
uint8_t *variables, *fresh;
size_t variables_size;
jmp_buf rescue;
char inside;

void put_in_place(net_stack *stack) {
    if (current == stack)
        return;
    if (current != NULL)
        memcpy(current->image, variables, variables_size);
    memcpy(variables, stack->image, variables_size);
    current = stack;
}

void leave(net_stack *stack) {
    if (stack->deferred_count != 0)
        run_deferred(stack);
    __atomic_clear(&inside, __ATOMIC_RELEASE);
}

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

net_stack *open_stack(const uint8_t *mac, uint32_t address, uint32_t netmask, uint32_t gateway, uint64_t seed,
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
    set_limits(stack);
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

const char *net_failed_assertion(net_stack *stack) { return stack->broken ? stack->assertion : ""; }
