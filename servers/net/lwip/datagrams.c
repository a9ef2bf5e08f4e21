/* Datagrams and echoes, kept until they are fetched. */

#include "lwip/inet_chksum.h"
#include "lwip/prot/icmp.h"

#include "private.h"

#define DATAGRAM_LIMIT 64

/* Room for bytes that arrived, behind all others, or NULL. */
struct datagram *new_datagram(net_socket *socket, uint32_t size, uint32_t address, uint16_t port) {
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

int begin_datagrams(net_socket *socket, uint16_t port) {
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

/* Sees each ICMP packet with its IP header, and takes the echo replies. */
u8_t echo_arrived(void *argument, struct raw_pcb *pcb, struct pbuf *packet, const ip_addr_t *from) {
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
