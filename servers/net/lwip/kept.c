/* Handing over: a stack, its sockets and connections, as numbers and bytes. */

#include "lwip/etharp.h"
#include "lwip/prot/ip4.h"

#include "private.h"

/* Members of lwIP's structure that are taken over as they are, and the most that each may be. What is not here is a
   pointer, follows from the rest, or is what lwIP begins with. */
#define MEMBER(name, most) {offsetof(struct tcp_pcb, name), sizeof(((struct tcp_pcb *)0)->name), most}
#define ANY 0xFFFFFFFFu
const struct member MEMBERS[] = {
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

int net_connection_members(void) { return MEMBER_COUNT; }

static err_t see_id(struct netif *netif, struct pbuf *packet, const ip4_addr_t *to) {
    ((net_stack *)netif->state)->seen_id = lwip_ntohs(IPH_ID((struct ip_hdr *)packet->payload));
    return ERR_OK;
}

/* lwIP numbers its packets, and says the number only in a packet: so it makes some that go nowhere, until it has made
   the one with this number, or just one if `number` is negative. */
err_t count_packets(net_stack *stack, int number) {
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
