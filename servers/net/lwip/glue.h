/* What Python sees of lwIP. Plain declarations only: cffi reads this very file.

   Addresses, masks and ports are in the host's byte order; times are in virtual milliseconds. No function calls back:
   frames to send and changes of sockets wait in the stack until they are fetched. A negative result is one of lwIP's
   errors (err.h), or one of those below. */

enum {
    NET_BROKEN = -100, /* an assertion of lwIP failed: the stack can only be closed */
    NET_BUSY = -101,   /* another thread is inside lwIP */
    NET_EMPTY = -102,  /* there is no datagram */
    NET_REFUSED = -103 /* the peer answered an attempt to connect with a reset */
};

enum { NET_TCP, NET_LISTENER, NET_UDP, NET_ECHO };

/* What happened to a socket since it was last asked for, or in bits. */
enum {
    NET_ACCEPTED = 1,  /* it is new: a peer connected to a listener */
    NET_CONNECTED = 2, /* the peer took the connection */
    NET_READABLE = 4,  /* bytes, a datagram or an echo reply arrived */
    NET_WRITABLE = 8,  /* the peer acknowledged bytes: there is room again */
    NET_ENDED = 16,    /* the peer will send no more */
    NET_FAILED = 32    /* the connection is gone; see net_socket_info.error */
};

/* What waits in the stack after a call, or in bits. */
enum { NET_FRAMES = 1, NET_CHANGES = 2 };

/* What is written down of a stack for one that takes its place, as numbers. */
enum {
    NET_RANDOM_LOW, NET_RANDOM_HIGH,
    NET_LAST_SOCKET, /* the number of the socket that was made last */
    NET_TICKS,       /* of TCP's clock */
    NET_IS_ODD,      /* whether the next beat of TCP's timer is one for its fast timers only */
    NET_IS_TICKING, NET_TICK_DUE, NET_SECOND_DUE,
    NET_UDP_PORT, NET_TCP_PORT, /* that were given out last */
    NET_PACKET_ID,
    NET_STACK_NUMBERS
};
enum {
    NET_SOCKET_ID, NET_SOCKET_KIND, NET_SOCKET_ERROR, NET_WAS_CONNECTED, NET_SENT_FIN, NET_HAS_ENDED, NET_IS_WAITING,
    NET_LISTENER_ID, NET_BACKLOG, NET_DROPPED,
    NET_LOCAL_ADDRESS, NET_REMOTE_ADDRESS, NET_LOCAL_PORT, NET_REMOTE_PORT,
    NET_SOCKET_NUMBERS
};
/* Of a TCP connection; behind these stand the members of lwIP's structure, in kept.c's order. */
enum { NET_ITS_SOCKET, NET_IS_LINGERING, NET_GIVES_UP, NET_UNTAKEN_FLAGS, NET_TO, NET_FIRST_MEMBER };
enum { NET_IS_SENT, NET_SEQUENCE, NET_TCP_FLAGS, NET_OPTIONS, NET_SEGMENT_NUMBERS };

typedef struct net_stack net_stack;
typedef struct net_connection net_connection;
typedef struct net_socket net_socket;

typedef struct {
    uint32_t used, peak, limit, refused;
} net_use;

typedef struct {
    uint32_t id, listener;
    int kind, error;
    uint32_t local_address, remote_address, local_port, remote_port;
    uint32_t unread, room, dropped;
} net_socket_info;

const char *net_unusable(void);
const char *net_version(void);
const char *net_failed_assertion(net_stack *stack);
int net_fail_assertion(net_stack *stack); /* for tests of what happens then */
const char *net_pool_name(int pool);
int net_pools(void);
net_use net_pool_use(net_stack *stack, int pool);
void net_limit_pool(net_stack *stack, int pool, uint32_t limit);

net_stack *net_open(const uint8_t *mac, uint32_t address, uint32_t netmask, uint32_t gateway, uint64_t seed,
                    uint32_t now);
void net_close(net_stack *stack);
int net_input(net_stack *stack, uint32_t now, const uint8_t *frame, uint32_t size);
int net_poll(net_stack *stack, uint32_t now);
int64_t net_due(net_stack *stack, uint32_t now);
int net_waiting(net_stack *stack);
uint32_t net_frames(net_stack *stack, uint8_t **records);
net_socket *net_change(net_stack *stack, uint32_t *id, int *flags);

net_socket *net_connect(net_stack *stack, uint32_t now, uint32_t address, uint16_t port, uint16_t local, int *error);
net_socket *net_listen(net_stack *stack, uint32_t now, uint16_t port, uint32_t backlog, int *error);
net_socket *net_udp(net_stack *stack, uint32_t now, uint16_t port, int *error);
void net_taken(net_socket *accepted);
void net_info(net_socket *socket, net_socket_info *info);
int net_send(net_socket *socket, uint32_t now, const uint8_t *data, uint32_t size);
int net_receive(net_socket *socket, uint32_t now, uint8_t *into, uint32_t size);
int net_shutdown(net_socket *socket, uint32_t now);
int net_release(net_socket *socket, uint32_t now, int abort);
int net_send_to(net_socket *socket, uint32_t now, uint32_t address, uint16_t port, const uint8_t *data, uint32_t size);
int net_receive_from(net_socket *socket, uint8_t *into, uint32_t size, uint32_t *address, uint32_t *port);
int net_ping(net_stack *stack, uint32_t now, uint32_t address, uint16_t identifier, uint16_t sequence,
             const uint8_t *data, uint32_t size);
net_socket *net_echoes(net_stack *stack);

void net_stack_numbers(net_stack *stack, uint32_t now, uint32_t *numbers);
void net_socket_numbers(net_socket *socket, uint32_t *numbers);
uint32_t net_unread(net_socket *socket, uint8_t *into);
int net_datagram(net_socket *socket, uint32_t index, uint8_t *into, uint32_t *address, uint32_t *port);
int net_connection_members(void);
int net_connection_numbers(net_stack *stack, uint32_t index, uint32_t *numbers);
int net_untaken(net_stack *stack, uint32_t index, uint8_t *into);
int net_segment(net_stack *stack, uint32_t index, uint32_t segment, uint32_t *numbers, uint8_t *into);
int net_neighbour(net_stack *stack, uint32_t index, uint32_t *address, uint8_t *mac);

int net_go_on(net_stack *stack, uint32_t now, const uint32_t *numbers);
int net_put_neighbour(net_stack *stack, uint32_t now, uint32_t address, const uint8_t *mac);
net_socket *net_put_socket(net_stack *stack, uint32_t now, const uint32_t *numbers, const uint8_t *unread,
                           uint32_t size, int *error);
int net_put_datagram(net_socket *socket, uint32_t address, uint32_t port, const uint8_t *data, uint32_t size);
net_connection *net_put_connection(net_stack *stack, uint32_t now, const uint32_t *numbers, const uint8_t *untaken,
                                   uint32_t size, int *error);
int net_put_segment(net_stack *stack, net_connection *connection, const uint32_t *numbers, const uint8_t *data,
                    uint32_t size);
int net_settle(net_stack *stack, net_connection *connection);
