/* lwIP's timers, run when it is asked for. */

#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"

#include "private.h"

/* ARP entries only grow older while nothing happens, so their seconds are counted when something does. */
void pass_seconds(net_stack *stack) {
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
