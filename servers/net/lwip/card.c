/* The network card as lwIP sees it: frames in, and frames out until they are fetched. */

#include <stdlib.h>

#include "lwip/etharp.h"
#include "lwip/prot/ethernet.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"
#include "netif/ethernet.h"

#include "private.h"

#define FRAME_LIMIT 1514

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

err_t set_up(struct netif *netif) {
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
