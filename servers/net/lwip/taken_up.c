/* Handing over: a fresh stack goes on where another was, and its sockets do. */

#include <stdlib.h>

#include "lwip/etharp.h"
#include "lwip/prot/ethernet.h"

#include "private.h"

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
