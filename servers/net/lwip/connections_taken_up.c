/* Handing over: a connection of another stack goes on, if all of it fits together. */

#include "lwip/inet_chksum.h"

#include "private.h"

/* What a header may have: FIN, SYN, PSH, ACK. */
#define SEGMENT_FLAGS (TCP_FIN | TCP_SYN | TCP_PSH | TCP_ACK)
#define SEGMENT_OPTIONS (TF_SEG_OPTS_MSS | TF_SEG_OPTS_WND_SCALE)

static bool is_taken(const struct tcp_pcb *pcb, const struct tcp_pcb *other) {
    for (; other != NULL; other = other->next)
        if (other != pcb && other->local_port == pcb->local_port && other->remote_port == pcb->remote_port &&
            ip_addr_cmp(&other->remote_ip, &pcb->remote_ip))
            return true;
    return false;
}

static bool take_numbers(struct tcp_pcb *pcb, const uint32_t *numbers) {
    ip4_addr_t to;
    for (int i = 0; i < net_connection_members(); i++) {
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
