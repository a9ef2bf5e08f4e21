/* TCP: listeners, connections, and the bytes that nobody has read yet. */

#include <stdlib.h>

#include "private.h"

#define ORPHAN_PATIENCE 240 /* half seconds */

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

err_t connected(void *argument, struct tcp_pcb *pcb, err_t error) {
    ((net_socket *)argument)->was_connected = true;
    /* With a SYN that it repeats, lwIP sends what is queued behind it, without an acknowledgement, so nobody takes it. */
    if (pcb->unacked != NULL)
        tcp_rexmit_rto(pcb);
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

void adopt(net_socket *socket, struct tcp_pcb *pcb) {
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

int begin_connecting(net_socket *socket, uint32_t address, uint16_t port, uint16_t local) {
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

int begin_listening(net_socket *socket, uint16_t port) {
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
err_t give_up(void *argument, struct tcp_pcb *pcb) {
    tcp_abort(pcb);
    return ERR_ABRT;
}

void release_tcp(net_socket *socket, bool abort) {
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
