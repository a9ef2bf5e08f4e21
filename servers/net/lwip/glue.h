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

typedef struct net_stack net_stack;
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
