/* Who is calling, and what may it do? A server tells its clients apart by badges, hands out a cap
 * in a message, recognizes it when it comes back, and takes it away again.
 */
#include "threads.h"

const char program_name[] = "badges";

/* What a client can ask for: the label of its message. */
enum { ASK_WHO_I_AM = 1, ASK_FOR_A_CAP, ASK_TO_REVOKE, GOODBYE };

enum { CLIENT_BADGE = 1, SESSION_BADGE = 42, FAULT_BADGE = 99 };

/* The client's slots. It needs its own CNode to name the slot where a cap may arrive. */
enum { SERVICE = 1, SESSION = 2, CLIENT_CNODE = 3, CLIENT_RADIX = 2 };

/* --- the client, in its own address space and CSpace --- */

static struct message ask(cptr cap, word label)
{
    return seL4_Call(cap, (struct message){.info = message_info(label, 0, 0)});
}

static struct message ask_with_cap(cptr cap, word label, cptr enclosed)
{
    ipc_buffer()->caps_or_badges[0] = enclosed;
    return seL4_Call(cap, (struct message){.info = message_info(label, 1, 0)});
}

static void accept_cap_in(word slot)
{
    ipc_buffer()->receive_cnode = CLIENT_CNODE;
    ipc_buffer()->receive_index = slot;
    ipc_buffer()->receive_depth = CLIENT_RADIX;
}

static void get_a_cap(void)
{
    accept_cap_in(SESSION);
    struct message m = ask(SERVICE, ASK_FOR_A_CAP);
    print("client: I asked for a cap and received %u\n", info_extra_caps(m.info));
}

static void client(word a, word b, word c)
{
    (void)a, (void)b, (void)c;
    print("client: the server knows me as %u\n", ask(SERVICE, ASK_WHO_I_AM).mr[0]);
    print("client: the empty slot answers %s\n",
          error_name(info_label(ask(SESSION, ASK_WHO_I_AM).info)));
    get_a_cap();
    print("client: with the new cap the server knows me as %u\n",
          ask(SESSION, ASK_WHO_I_AM).mr[0]);
    print("client: I send the new cap back through the first\n");
    ask_with_cap(SERVICE, ASK_WHO_I_AM, SESSION);
    print("client: I send the first cap through the new one, which has no grant right\n");
    ask_with_cap(SESSION, ASK_WHO_I_AM, SERVICE);
    ask(SERVICE, ASK_TO_REVOKE);
    print("client: the new cap now answers %s\n",
          error_name(info_label(ask(SESSION, ASK_WHO_I_AM).info)));
    for (;;) {
        ask(SERVICE, GOODBYE);
    }
}

/* --- the server: the root task --- */

static cptr endpoint;
static cptr session; /* the server's own copy of what it handed out */

static struct message answer_who(struct message m)
{
    return (struct message){.info = message_info(0, 0, 1), .mr = {m.badge}};
}

/* A cap for sending and calling, with a badge that the client cannot change. */
static struct message answer_with_cap(void)
{
    session = mint_cap(endpoint, RIGHT_WRITE | RIGHT_GRANT_REPLY, SESSION_BADGE);
    ipc_buffer()->caps_or_badges[0] = session;
    return (struct message){.info = message_info(0, 1, 0)};
}

static struct message answer_after_revoking(void)
{
    must(seL4_CNode_Revoke(ROOT_CNODE, session, ROOT_CNODE_DEPTH), "revoke");
    print("server: I have revoked what was derived from cap %u\n", SESSION_BADGE);
    return (struct message){0};
}

static struct message answer(struct message m)
{
    switch (info_label(m.info)) {
    case ASK_FOR_A_CAP:
        return answer_with_cap();
    case ASK_TO_REVOKE:
        return answer_after_revoking();
    default:
        return answer_who(m);
    }
}

static void print_message(struct message m)
{
    print("server: a message with badge %u", m.badge);
    if (info_extra_caps(m.info)) {
        bool unwrapped = info_caps_unwrapped(m.info) & 1;
        print(" and a cap, %s", unwrapped ? "unwrapped: one of mine, with badge " : "kept");
        if (unwrapped) {
            print("%u", ipc_buffer()->caps_or_badges[0]);
        }
    }
    print("\n");
}

/* The dialogue above, as the server should see it: badge, caps, badge of the unwrapped cap. */
static void check_message(unsigned n, struct message m)
{
    static const word expected[][3] = {
        {CLIENT_BADGE, 0, 0},  {CLIENT_BADGE, 0, 0}, {SESSION_BADGE, 0, 0},
        {CLIENT_BADGE, 1, SESSION_BADGE}, {SESSION_BADGE, 0, 0}, {CLIENT_BADGE, 0, 0},
        {CLIENT_BADGE, 0, 0},
    };
    require(n < sizeof expected / sizeof expected[0], "the client sends more than it should");
    require(m.badge == expected[n][0], "the wrong badge");
    require(info_extra_caps(m.info) == expected[n][1], "the wrong number of caps");
    require(info_caps_unwrapped(m.info) == expected[n][1], "a cap was not unwrapped");
    if (expected[n][1]) {
        require(ipc_buffer()->caps_or_badges[0] == expected[n][2], "the wrong unwrapped badge");
    }
}

static void serve(void)
{
    cptr reply = new_object(OBJECT_REPLY);
    struct message m = receive_or_fail(endpoint, reply, FAULT_BADGE);
    for (unsigned n = 0; info_label(m.info) != GOODBYE; n++) {
        print_message(m);
        check_message(n, m);
        m = seL4_ReplyRecv(endpoint, answer(m), reply);
        require(m.badge != FAULT_BADGE, "the client made a fault");
    }
}

void root_task(void)
{
    endpoint = new_object(OBJECT_ENDPOINT);
    struct vspace vspace = vspace_with_our_image();
    struct cspace cspace = new_cspace(CLIENT_RADIX);
    word rights = RIGHT_WRITE | RIGHT_GRANT | RIGHT_GRANT_REPLY;
    give_cap(cspace, SERVICE, endpoint, rights, CLIENT_BADGE);
    give_cap(cspace, CLIENT_CNODE, cspace.cnode, ALL_RIGHTS, 0);
    struct thread thread = start_thread((struct thread_start){
        .vspace = &vspace,
        .cspace = &cspace,
        .fault_endpoint = mint_cap(endpoint, ALL_RIGHTS, FAULT_BADGE),
        .priority = 100,
        .entry = client,
    });
    serve();
    end_thread(thread);
}
