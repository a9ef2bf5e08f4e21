/* Call and ReplyRecv between two address spaces, many times: the way that everything else is built
 * on, and a measure of what a kernel costs.
 *
 * The server is passive: it has no time of its own and runs on that of its client. Compile with
 * CHECKS=0 (pingpong_fast) for empty messages and no comparison in the loop.
 */
#include "threads.h"

#ifndef ROUNDS
#define ROUNDS 1000
#endif
#ifndef CHECKS
#define CHECKS 1
#endif

const char program_name[] = "pingpong";

/* Words with known symbols, so that a loader can change them. */
word rounds = ROUNDS;
word checks = CHECKS;

/* The two protection domains' own slots. */
enum { SERVER_ENDPOINT = 1, SERVER_REPLY = 2 };
enum { CLIENT_ENDPOINT = 1, CLIENT_RESULT = 2 };
enum { CLIENT_BADGE = 7, RESULT_BADGE = 8, FAULT_BADGE = 9 };
enum { PRIORITY = 100 };

/* Answers each number with the next one. */
static void checked_server(word a, word b, word c)
{
    (void)a, (void)b, (void)c;
    struct message m = seL4_Recv(SERVER_ENDPOINT, SERVER_REPLY);
    for (;;) {
        m.info = message_info(0, 0, 1);
        m.mr[0]++;
        m = seL4_ReplyRecv(SERVER_ENDPOINT, m, SERVER_REPLY);
    }
}

static void fast_server(word a, word b, word c)
{
    (void)a, (void)b, (void)c;
    struct message m = seL4_Recv(SERVER_ENDPOINT, SERVER_REPLY);
    for (;;) {
        m.info = 0;
        m = seL4_ReplyRecv(SERVER_ENDPOINT, m, SERVER_REPLY);
    }
}

/* Tells the parent how many calls it made and how many answers were wrong. */
static _Noreturn void report(word calls, word wrong)
{
    struct message m = {.info = message_info(0, 0, 2), .mr = {calls, wrong}};
    for (;;) {
        seL4_Call(CLIENT_RESULT, m);
    }
}

static void checked_client(word count, word b, word c)
{
    (void)b, (void)c;
    word wrong = 0;
    for (word i = 0; i < count; i++) {
        struct message m = {.info = message_info(0, 0, 1), .mr = {i}};
        m = seL4_Call(CLIENT_ENDPOINT, m);
        wrong += m.info != message_info(0, 0, 1) || m.mr[0] != i + 1 || m.badge != 0;
    }
    report(count, wrong);
}

static void fast_client(word count, word b, word c)
{
    (void)b, (void)c;
    struct message m = {0};
    for (word i = count; i; i--) {
        m.info = 0;
        m = seL4_Call(CLIENT_ENDPOINT, m);
    }
    report(count, 0);
}

static void start_server(cptr endpoint, cptr fault_endpoint)
{
    struct vspace vspace = vspace_with_our_image();
    struct cspace cspace = new_cspace(2);
    give_cap(cspace, SERVER_ENDPOINT, endpoint, RIGHT_READ, 0);
    give_cap(cspace, SERVER_REPLY, new_object(OBJECT_REPLY), ALL_RIGHTS, 0);
    struct thread server = start_thread((struct thread_start){
        .vspace = &vspace,
        .cspace = &cspace,
        .fault_endpoint = fault_endpoint,
        .priority = PRIORITY,
        .entry = checks ? checked_server : fast_server,
    });
    /* We are its first client. Once it has answered, it waits for the next call, and its time can
     * be taken away: from then on it runs on its callers' time. */
    seL4_Call(endpoint, (struct message){0});
    must(seL4_SchedContext_Unbind(server.sched_context), "make the server passive");
}

static struct thread start_client(cptr endpoint, cptr result, cptr fault_endpoint)
{
    struct vspace vspace = vspace_with_our_image();
    struct cspace cspace = new_cspace(2);
    word rights = RIGHT_WRITE | RIGHT_GRANT_REPLY;
    give_cap(cspace, CLIENT_ENDPOINT, endpoint, rights, CLIENT_BADGE);
    give_cap(cspace, CLIENT_RESULT, result, rights, RESULT_BADGE);
    return start_thread((struct thread_start){
        .vspace = &vspace,
        .cspace = &cspace,
        .fault_endpoint = fault_endpoint,
        .priority = PRIORITY,
        .entry = checks ? checked_client : fast_client,
        .arguments = {rounds},
    });
}

void root_task(void)
{
    cptr endpoint = new_object(OBJECT_ENDPOINT);
    cptr result = new_object(OBJECT_ENDPOINT);
    cptr fault_endpoint = mint_cap(result, ALL_RIGHTS, FAULT_BADGE);

    start_server(endpoint, fault_endpoint);
    print("pingpong: the server waits; starting a client\n");
    struct thread client = start_client(endpoint, result, fault_endpoint);
    struct message m = receive_or_fail(result, new_object(OBJECT_REPLY), FAULT_BADGE);
    end_thread(client);

    require(m.badge == RESULT_BADGE && m.mr[0] == rounds, "not the client's result");
    require(m.mr[1] == 0, "a reply was wrong");
    print("pingpong: %u calls, %u replies %s\n", rounds, rounds, checks ? "right" : "unchecked");
}
