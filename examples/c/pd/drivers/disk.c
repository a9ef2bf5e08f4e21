/* A virtio disk: what it was asked for, so that it can be asked again. */
#include "disk.h"

#include "microkit.h"
#include "virtio.h"

enum { KIND = 2, QUEUE = 0, SIZE = 16, CHAIN = 3 };
static const word READ_ONLY = 1 << 5, HAS_FLUSH = 1 << 9;
enum { CAPACITY = 0 };  /* offset in the configuration space */
enum { MAX_RESETS = 5 }; /* in a row, without anything done between them */
enum { PATIENCE = 3 };   /* signs of life during which something may be with the device */

/* Each request's header has 32 bytes of the page, of which the 17th is for its status. */
enum { HEADERS = 0x800, HEADER_BYTES = 32, STATUS_OFFSET = 16, UNTOUCHED = 0xFF };

struct header {
    uint32_t kind, reserved;
    uint64_t sector;
};

static struct request {
    bool is_in_use;
    enum disk_kind kind;
    word sector, io;
    uint32_t length;
    unsigned age;
    cptr caller;
} requests[DISK_PLACES];

static struct virtio_queue queue;
static word features, sectors;
static unsigned resets; /* since the device was last seen to have done something */

_Static_assert(DISK_PLACES == SIZE / CHAIN, "as many requests as the queue has room for");
_Static_assert(sizeof(struct header) == STATUS_OFFSET, "the status lies behind the header");

word disk_sectors(void)
{
    return sectors;
}

bool disk_is_read_only(void)
{
    return features & READ_ONLY;
}

bool disk_has_flush(void)
{
    return features & HAS_FLUSH;
}

static void submit(unsigned place)
{
    struct request *request = &requests[place];
    unsigned offset = HEADERS + HEADER_BYTES * place, count = 0;
    volatile struct header *header = (volatile struct header *)(rings + offset);
    header->kind = request->kind;
    header->reserved = 0;
    header->sector = request->sector;
    *(volatile uint8_t *)(rings + offset + STATUS_OFFSET) = UNTOUCHED;
    struct virtio_buffer buffers[CHAIN];
    buffers[count++] = (struct virtio_buffer){rings_io + offset, sizeof(struct header), false};
    if (request->length) {
        buffers[count++] = (struct virtio_buffer){request->io, request->length, request->kind == DISK_READ};
    }
    buffers[count++] = (struct virtio_buffer){rings_io + offset + STATUS_OFFSET, 1, true};
    virtio_offer(&queue, place, buffers, count);
    virtio_notify(registers, QUEUE);
}

/* Reset the device, make it ready, and give it all requests (again). */
static enum virtio start(void)
{
    enum virtio outcome = virtio_reset(registers);
    if (outcome == VIRTIO_FINE) {
        outcome = virtio_negotiate(registers, KIND, READ_ONLY | HAS_FLUSH, &features);
    }
    if (outcome != VIRTIO_FINE) {
        return outcome;
    }
    sectors = virtio_config(registers, CAPACITY);
    virtio_clear(&queue);
    outcome = virtio_set_up(registers, QUEUE, &queue);
    if (outcome != VIRTIO_FINE) {
        return outcome;
    }
    virtio_start(registers);
    for (unsigned place = 0; place < DISK_PLACES; place++) {
        if (requests[place].is_in_use) {
            requests[place].age = 0;
            submit(place);
        }
    }
    return VIRTIO_FINE;
}

static void must(enum virtio outcome)
{
    if (outcome != VIRTIO_FINE) {
        microkit_internal_crash(outcome == VIRTIO_NO_DEVICE ? DISK_NOT_THERE : DISK_MISBEHAVES);
    }
}

void disk_start(void)
{
    queue.vaddr = rings;
    queue.io = rings_io;
    queue.size = SIZE;
    queue.chain = CHAIN;
    must(start());
}

void disk_submit(enum disk_kind kind, word sector, word io, uint32_t length, cptr caller)
{
    unsigned place = 0;
    while (place < DISK_PLACES - 1 && requests[place].is_in_use) {
        place++;
    }
    requests[place] = (struct request){
        .is_in_use = true, .kind = kind, .sector = sector, .io = io, .length = length, .caller = caller,
    };
    submit(place);
}

/* Take what is done out of the ring, and tell who waits for it. */
static enum virtio collect(void)
{
    for (;;) {
        bool is_one;
        unsigned place;
        enum virtio outcome = virtio_take_back(&queue, &is_one, &place);
        if (outcome != VIRTIO_FINE || !is_one) {
            return outcome;
        }
        uint8_t status = *(volatile uint8_t *)(rings + HEADERS + HEADER_BYTES * place + STATUS_OFFSET);
        if (status == UNTOUCHED) {
            return VIRTIO_MISBEHAVED;
        }
        requests[place].is_in_use = false;
        resets = 0;
        disk_done(requests[place].caller, requests[place].sector, status);
    }
}

/* One that broke its rules is reset and given everything again. */
static void unless_it_misbehaves(enum virtio outcome)
{
    if (outcome == VIRTIO_MISBEHAVED) {
        resets++;
        must(resets > MAX_RESETS ? outcome : start());
    }
}

static enum virtio beat(void)
{
    for (unsigned place = 0; place < DISK_PLACES; place++) {
        if (requests[place].is_in_use && ++requests[place].age > PATIENCE) {
            return VIRTIO_MISBEHAVED;
        }
    }
    return VIRTIO_FINE;
}

void disk_interrupt(void)
{
    enum virtio outcome = virtio_take_interrupt(registers);
    unless_it_misbehaves(outcome == VIRTIO_FINE ? collect() : outcome);
}

void disk_look(void)
{
    enum virtio outcome = collect();
    unless_it_misbehaves(outcome == VIRTIO_FINE ? beat() : outcome);
}

static bool is_idle(void)
{
    for (unsigned place = 0; place < DISK_PLACES; place++) {
        if (requests[place].is_in_use) {
            return false;
        }
    }
    return true;
}

void disk_finish(void)
{
    while (!is_idle()) {
        unless_it_misbehaves(collect());
    }
}
