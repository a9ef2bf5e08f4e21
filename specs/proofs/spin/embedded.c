#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 3

/* A queue's places begin at q[qb]; qt is the thread; 0 is an empty place. */
static void put_at(int place)
{
    for (int n = PLACES - 1; n > place; n--)
        now.q[qb + n] = now.q[qb + n - 1];
    now.q[qb + place] = qt + 1;
}

void queue_remove(void)
{
    int kept = 0;
    for (int n = 0; n < PLACES; n++)
        if (now.q[qb + n] != qt + 1)
            now.q[qb + kept++] = now.q[qb + n];
    while (kept < PLACES)
        now.q[qb + kept++] = 0;
}

#define MEMBER(n) (now.q[qb + (n)] - 1)
#define INSERT(stays) do { \
        int place = 0; \
        while (place < PLACES && now.q[qb + place] != 0 && (stays)) \
            place++; \
        put_at(place); \
    } while (0)

void queue_by_priority(void) { INSERT(now.prio[MEMBER(place)] >= now.prio[qt]); }

void queue_before_equals(void) { INSERT(now.prio[MEMBER(place)] > now.prio[qt]); }

void queue_by_time(void) { INSERT(now.swait[now.sc[MEMBER(place)] - 1] <= now.swait[now.sc[qt] - 1]); }

/* The variables of the state, in the order of specs/explore/projection.py. */
#define EACH(f) \
    f(st) f(on) f(with) f(badge) f(calls) f(flt) f(prio) f(sc) f(yto) f(bn) f(pend) f(inq) f(fh) f(th) f(q) \
    f(est) f(ns) f(nb) f(nbt) f(nsc) f(rt) f(rprev) f(rnext) f(stcb) f(srep) f(sn) f(syf) f(swait) f(sact) f(caps)
#define EACH_SINGLE(f) f(irq_cap) f(claimed) f(cur)

#define SIZE(x) +sizeof now.x
#define LENGTH (0 EACH(SIZE) EACH_SINGLE(SIZE))

static unsigned number(FILE *from)
{
    unsigned value;
    if (fscanf(from, "%u", &value) != 1 || value > 255) {
        fprintf(stderr, "the configuration is not complete\n");
        exit(2);
    }
    return value;
}

void read_configuration(void)
{
    FILE *from = fopen("configuration.txt", "r");
    if (!from) {
        perror("configuration.txt");
        exit(2);
    }
#define READ(x) for (size_t n = 0; n < sizeof now.x; n++) now.x[n] = number(from);
#define READ_SINGLE(x) now.x = number(from);
    EACH(READ)
    EACH_SINGLE(READ_SINGLE)
    for (int n = 0; n < 3; n++)
        period[n] = number(from);
    for (int n = 0; n < 3; n++)
        acts[n] = number(from);
    for (int n = 0; n < 48; n++) {
        verb[n] = number(from);
        arg1[n] = number(from);
        arg2[n] = number(from);
        arg3[n] = number(from);
    }
    may_end = number(from);
    may_interrupt = number(from);
    may_preempt = number(from);
    fclose(from);
}

/* Every state that is met is written to states.bin once; a table of all of them says which are new. */
static unsigned char *met;
static size_t room, count;

static size_t place_of(const unsigned char *state, const unsigned char *table, size_t size)
{
    unsigned long long hash = 1469598103934665603ULL;
    for (size_t n = 0; n < LENGTH; n++)
        hash = (hash ^ state[n]) * 1099511628211ULL;
    size_t at = hash % size;
    while (table[at * (LENGTH + 1)] && memcmp(table + at * (LENGTH + 1) + 1, state, LENGTH))
        at = (at + 1) % size;
    return at;
}

static void make_room(void)
{
    size_t size = room ? 2 * room : 1 << 12;
    unsigned char *table = calloc(size, LENGTH + 1);
    if (!table) {
        fprintf(stderr, "no memory for %zu states\n", size);
        exit(2);
    }
    for (size_t n = 0; n < room; n++)
        if (met[n * (LENGTH + 1)])
            memcpy(table + place_of(met + n * (LENGTH + 1) + 1, table, size) * (LENGTH + 1),
                   met + n * (LENGTH + 1), LENGTH + 1);
    free(met);
    met = table;
    room = size;
}

void record_state(void)
{
    static FILE *to;
    unsigned char state[LENGTH], *next = state;
#define WRITE(x) memcpy(next, now.x, sizeof now.x); next += sizeof now.x;
#define WRITE_SINGLE(x) *next++ = now.x;
    EACH(WRITE)
    EACH_SINGLE(WRITE_SINGLE)
    if (2 * count >= room)
        make_room();
    size_t at = place_of(state, met, room);
    if (met[at * (LENGTH + 1)])
        return;
    met[at * (LENGTH + 1)] = 1;
    memcpy(met + at * (LENGTH + 1) + 1, state, LENGTH);
    count++;
    if (!to)
        to = fopen("states.bin", "wb");
    if (!to || fwrite(state, LENGTH, 1, to) != 1 || fflush(to)) {
        perror("states.bin");
        exit(2);
    }
}
