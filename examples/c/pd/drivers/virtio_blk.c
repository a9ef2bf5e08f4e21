/* The driver of a virtio disk, for clients of the protocol `Block`: `servers/drivers/virtio_blk.py` in C,
 * and takes its place.
 *
 * It holds the device's registers, its interrupt, and one page for rings and request headers. The data of
 * a transfer it never touches: it passes the I/O address on, and the device reaches the client's transfer
 * region by itself. Whoever asks waits in a reply object until the device is done.
 */
#include "block.h"
#include "callers.h"
#include "disk.h"
#include "syscalls.h"

/* Channels: the interrupt; who wants signs of life; clients, of whom some may only read; who wants another
 * program in this one's place.
 */
enum { IRQ = 0, SUPERVISOR = 1, FIRST_CLIENT = 2, FIRST_READER = 6, END_CLIENTS = 10, UPDATE = 20 };
enum { MAX_SPARE = DISK_PLACES - 1, OBJECT_LIMIT = 256 };

/* Set by the description, where it wants something else. */
uintptr_t registers, rings;
uintptr_t transfer; /* unused; a RAM disk in this driver's place needs it */
word rings_io = 0x10000000, transfer_io = 0x20000000, transfer_size = 0x10000;
word first_reply = 302, reply_count = MAX_SPARE;

/* Reply objects that hold nobody. */
static cptr spare[MAX_SPARE];
static unsigned spare_count;

/* What is known of each client: whether it has asked what the disk is since the driver was started, and how
 * many caps it had derived from its own.
 */
static struct client {
    bool is_known;
    unsigned derived;
} clients[END_CLIENTS];

static microkit_msginfo failed(enum failure failure, const char *text)
{
    block_text_begin();
    block_text(text);
    return block_failure(failure);
}

/* Requests: each is checked, and answered at once or when the device is done. */

static microkit_msginfo info(struct client *client, bool is_read_only)
{
    client->is_known = true;
    block_text_begin();
    block_text("virtio-blk");
    microkit_mr_set(0, disk_sectors());
    microkit_mr_set(1, is_read_only);
    microkit_mr_set(2, transfer_size);
    return microkit_msginfo_new(0, (uint16_t)(3 + block_text_end(3)));
}

static microkit_msginfo perform(enum disk_kind kind, word sector, word io, word length)
{
    if (!spare_count) {
        return failed(BUSY, "too many requests wait in this server already");
    }
    disk_submit(kind, sector, io, (uint32_t)length, pd_hold_caller(spare[--spare_count]));
    return 0;
}

static microkit_msginfo unknown(void)
{
    return failed(SERVER_DIED, "the driver was started anew; ask what the disk is");
}

static microkit_msginfo beyond(int64_t count, const char *what, int64_t at, const char *limited, word limit)
{
    block_text_begin();
    block_number(count);
    block_text(what);
    block_number(at);
    block_text(limited);
    block_number((int64_t)limit);
    return block_failure(MALFORMED);
}

/* Sectors to or from the transfer region. */
static microkit_msginfo move(struct client *client, enum disk_kind kind)
{
    int64_t sector = (int64_t)microkit_mr_get(0), count = (int64_t)microkit_mr_get(1);
    int64_t offset = (int64_t)microkit_mr_get(2), sectors = (int64_t)disk_sectors();
    if (!client->is_known) {
        return unknown();
    }
    if (count <= 0 || count > sectors || sector < 0 || sector > sectors - count) {
        return beyond(count, " sectors at ", sector, ": the disk has ", disk_sectors());
    }
    if (count > (int64_t)(transfer_size / SECTOR) || offset < 0
        || offset > (int64_t)transfer_size - count * SECTOR) {
        return beyond(count * SECTOR, " bytes at ", offset, ": the transfer region has ", transfer_size);
    }
    return perform(kind, (word)sector, transfer_io + (word)offset, (word)count * SECTOR);
}

static microkit_msginfo flush(struct client *client)
{
    if (!client->is_known) {
        return unknown();
    }
    return disk_has_flush() ? perform(DISK_FLUSH, 0, 0, 0) : microkit_msginfo_new(0, 0);
}

/* What can be asked of every object behind a cap. Nobody gets a further cap from here, but they count. */
static microkit_msginfo everybodys(struct client *client, word operation)
{
    if (operation != EVERYBODYS_DERIVE) {
        *client = (struct client){.is_known = client->is_known && operation != EVERYBODYS_DROP};
    } else if (client->derived < OBJECT_LIMIT) {
        client->derived++;
    } else {
        return failed(QUOTA_EXCEEDED, "this client has too many objects open; close some");
    }
    return microkit_msginfo_new(0, 0);
}

static const unsigned arguments[] = {[BLOCK_INFO] = 0, [BLOCK_READ] = 3, [BLOCK_WRITE] = 3, [BLOCK_FLUSH] = 0};

microkit_msginfo protected(microkit_channel ch, microkit_msginfo msginfo)
{
    word label = microkit_msginfo_get_label(msginfo), asked = label & ~SPILLED;
    word operation = asked & ((1 << OPERATION_BITS) - 1), interface = asked >> OPERATION_BITS;
    if (ch < FIRST_CLIENT || ch >= END_CLIENTS) {
        return failed(GONE, "what this cap led to was closed");
    }
    if (interface != BLOCK_INTERFACE && interface != ANY_INTERFACE) {
        return failed(MALFORMED, "this is a Block; it does not speak that interface");
    }
    struct client *client = &clients[ch];
    bool is_read_only = ch >= FIRST_READER || disk_is_read_only();
    if (operation >= EVERYBODYS_REVOKE) {
        return everybodys(client, operation);
    }
    if (interface != BLOCK_INTERFACE || operation < BLOCK_INFO || operation > BLOCK_FLUSH) {
        return failed(MALFORMED, "Block has no such operation");
    }
    if (label & SPILLED || microkit_msginfo_get_count(msginfo) != arguments[operation]) {
        return failed(MALFORMED, "these are not the arguments of that operation");
    }
    switch (operation) {
    case BLOCK_INFO:
        return info(client, is_read_only);
    case BLOCK_READ:
        return move(client, DISK_READ);
    case BLOCK_WRITE:
        return is_read_only ? failed(NOT_PERMITTED, "this disk is read-only") : move(client, DISK_WRITE);
    default:
        return flush(client);
    }
}

void disk_done(cptr caller, word sector, uint8_t status)
{
    microkit_msginfo answer = microkit_msginfo_new(0, 0);
    if (status != DISK_OK) {
        block_text_begin();
        block_text("the disk answers with status ");
        block_number(status);
        block_text(" at sector ");
        block_number((int64_t)sector);
        answer = block_failure(DEVICE_ERROR);
    }
    pd_answer(caller, answer);
    spare[spare_count++] = caller;
}

/* Finish what was begun, and serve nothing more. */
static _Noreturn void retire(void)
{
    disk_finish();
    microkit_notify(UPDATE);
    for (;;) {
        seL4_Yield();
    }
}

void init(void)
{
    for (unsigned i = 0; i < MAX_SPARE && i < reply_count; i++) {
        spare[spare_count++] = first_reply + i;
    }
    disk_start();
}

void notified(microkit_channel ch)
{
    switch (ch) {
    case IRQ:
        disk_interrupt();
        microkit_irq_ack(IRQ);
        break;
    case SUPERVISOR:
        disk_look();
        microkit_notify(SUPERVISOR);
        break;
    case UPDATE:
        retire();
    }
}
