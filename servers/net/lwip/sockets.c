/* Sockets of every kind: what happened to them, until it is fetched; their beginning and end. */

#include <stdlib.h>

#include "private.h"

void note(net_socket *socket, int flags) {
    net_stack *stack = socket->stack;
    socket->flags |= flags;
    if (socket->listed)
        return;
    socket->listed = true;
    socket->next_changed = NULL;
    *stack->last_changed = socket;
    stack->last_changed = &socket->next_changed;
}

net_socket *net_change(net_stack *stack, uint32_t *id, int *flags) {
    net_socket *socket = stack->changed;
    *flags = 0;
    if (socket == NULL)
        return NULL;
    stack->changed = socket->next_changed;
    if (stack->changed == NULL)
        stack->last_changed = &stack->changed;
    *id = socket->id;
    *flags = socket->flags;
    socket->flags = 0;
    socket->listed = false;
    return socket;
}

static void unlist(net_socket *socket) {
    net_stack *stack = socket->stack;
    net_socket **link = &stack->changed;
    if (!socket->listed)
        return;
    while (*link != socket)
        link = &(*link)->next_changed;
    *link = socket->next_changed;
    if (stack->last_changed == &socket->next_changed)
        stack->last_changed = link;
}

net_socket *new_socket(net_stack *stack, int kind) {
    net_socket *socket = take(stack, POOL_SOCKETS, 1, sizeof *socket);
    if (socket == NULL)
        return NULL;
    memset(socket, 0, sizeof *socket);
    socket->stack = stack;
    socket->kind = kind;
    socket->id = ++stack->next_id;
    socket->last = &socket->datagrams;
    return socket;
}

static void free_socket(net_socket *socket) {
    net_stack *stack = socket->stack;
    unlist(socket);
    if (socket->listener != NULL && socket->waiting)
        socket->listener->pending--;
    while (socket->datagrams != NULL) {
        struct datagram *first = socket->datagrams;
        socket->datagrams = first->next;
        give_back(stack, first);
    }
    free(socket->ring);
    give_back(stack, socket);
}

net_socket *find_socket(net_stack *stack, uint32_t id) {
    for (struct block *block = stack->blocks; block != NULL; block = block->next)
        if (block->pool == POOL_SOCKETS && ((net_socket *)(block + 1))->id == id)
            return (net_socket *)(block + 1);
    return NULL;
}

net_socket *begun(net_socket *socket, int *error) {
    net_stack *stack = socket->stack;
    leave(stack);
    if (*error == ERR_OK)
        return socket;
    free_socket(socket);
    return NULL;
}

net_socket *net_connect(net_stack *stack, uint32_t now, uint32_t address, uint16_t port, uint16_t local, int *error) {
    ENTER_WITH_SOCKET(stack, now, NET_TCP, error);
    *error = begin_connecting(socket, address, port, local);
    return begun(socket, error);
}

net_socket *net_listen(net_stack *stack, uint32_t now, uint16_t port, uint32_t backlog, int *error) {
    ENTER_WITH_SOCKET(stack, now, NET_LISTENER, error);
    socket->backlog = backlog;
    *error = begin_listening(socket, port);
    return begun(socket, error);
}

net_socket *net_udp(net_stack *stack, uint32_t now, uint16_t port, int *error) {
    ENTER_WITH_SOCKET(stack, now, NET_UDP, error);
    *error = begin_datagrams(socket, port);
    return begun(socket, error);
}

void net_info(net_socket *socket, net_socket_info *info) {
    bool tcp = socket->kind == NET_TCP && socket->pcb.tcp != NULL;
    *info = (net_socket_info){
        .id = socket->id, .listener = socket->listener_id, .kind = socket->kind, .error = socket->error,
        .local_address = socket->local_address, .remote_address = socket->remote_address,
        .local_port = socket->local_port, .remote_port = socket->remote_port,
        .unread = socket->kind == NET_TCP ? socket->unread : socket->datagram_count,
        .room = tcp && !socket->sent_fin ? (uint32_t)tcp_sndbuf(socket->pcb.tcp) : 0,
        .dropped = socket->dropped,
    };
}

static void forget_listener(net_socket *socket) {
    for (struct block *block = socket->stack->blocks; block != NULL; block = block->next) {
        net_socket *other = (net_socket *)(block + 1);
        if (block->pool == POOL_SOCKETS && other->listener == socket)
            other->listener = NULL;
    }
    tcp_close(socket->pcb.tcp);
}

/* Lets go of a socket: its memory is free, lwIP finishes what it began. */
int net_release(net_socket *socket, uint32_t now, int abort) {
    net_stack *stack = socket->stack;
    ENTER(stack, now, NET_BROKEN, NET_BUSY);
    if (socket->kind == NET_TCP && socket->pcb.tcp != NULL)
        release_tcp(socket, abort);
    else if (socket->kind == NET_LISTENER)
        forget_listener(socket);
    else if (socket->kind == NET_UDP)
        udp_remove(socket->pcb.udp);
    free_socket(socket);
    leave(stack);
    return ERR_OK;
}
