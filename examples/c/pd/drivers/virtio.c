/* Registers and rings of a virtio device. */
#include "virtio.h"

/* Registers */
enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SEL = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SEL = 0x024,
    QUEUE_SEL = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0A0,
    CONFIG = 0x100,
};
static const uint32_t EXPECTED_MAGIC = 0x74726976, EXPECTED_VERSION = 2;

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { CONFIGURATION_CHANGED = 2 }; /* why a device interrupts */
static const word VERSION_1 = 1ull << 32, ACCESS_PLATFORM = 1ull << 33;
enum { RESET_PATIENCE = 1000 }; /* how often a status is read until the device has reset itself */

static uint32_t load(uintptr_t registers, unsigned offset)
{
    return *(volatile uint32_t *)(registers + offset);
}

/* What was written to memory before is there for the device when it sees this. */
static void store(uintptr_t registers, unsigned offset, uint32_t value)
{
    __asm__ volatile("fence rw, rw" ::: "memory");
    *(volatile uint32_t *)(registers + offset) = value;
}

enum virtio virtio_reset(uintptr_t registers)
{
    store(registers, STATUS, 0);
    for (unsigned i = 0; i < RESET_PATIENCE; i++) {
        if (load(registers, STATUS) == 0) {
            return VIRTIO_FINE;
        }
    }
    return VIRTIO_MISBEHAVED;
}

static word features(uintptr_t registers)
{
    word found = 0;
    for (unsigned half = 0; half < 2; half++) {
        store(registers, DEVICE_FEATURES_SEL, half);
        found |= (word)load(registers, DEVICE_FEATURES) << 32 * half;
    }
    return found;
}

enum virtio virtio_negotiate(uintptr_t registers, uint32_t kind, word wanted, word *agreed)
{
    if (load(registers, MAGIC) != EXPECTED_MAGIC || load(registers, VERSION) != EXPECTED_VERSION
        || load(registers, DEVICE_ID) != kind) {
        return VIRTIO_NO_DEVICE;
    }
    store(registers, STATUS, ACKNOWLEDGE);
    store(registers, STATUS, ACKNOWLEDGE | DRIVER);
    word offered = features(registers);
    if (!(offered & VERSION_1)) {
        return VIRTIO_NO_DEVICE; /* it knows only the legacy interface */
    }
    *agreed = offered & (wanted | VERSION_1 | ACCESS_PLATFORM);
    for (unsigned half = 0; half < 2; half++) {
        store(registers, DRIVER_FEATURES_SEL, half);
        store(registers, DRIVER_FEATURES, (uint32_t)(*agreed >> 32 * half));
    }
    store(registers, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    return load(registers, STATUS) & FEATURES_OK ? VIRTIO_FINE : VIRTIO_NO_DEVICE;
}

void virtio_start(uintptr_t registers)
{
    store(registers, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

word virtio_config(uintptr_t registers, unsigned offset)
{
    return load(registers, CONFIG + offset) | (word)load(registers, CONFIG + offset + 4) << 32;
}

enum virtio virtio_take_interrupt(uintptr_t registers)
{
    uint32_t reasons = load(registers, INTERRUPT_STATUS);
    if (reasons) {
        store(registers, INTERRUPT_ACK, reasons);
    }
    bool asks_for_reset = reasons & CONFIGURATION_CHANGED && load(registers, STATUS) & NEEDS_RESET;
    return asks_for_reset ? VIRTIO_MISBEHAVED : VIRTIO_FINE;
}

void virtio_notify(uintptr_t registers, unsigned index)
{
    store(registers, QUEUE_NOTIFY, index);
}

/* Queues: the descriptors, behind them what the driver offers, behind that what the device has done. */

struct descriptor {
    uint64_t io;
    uint32_t length;
    uint16_t flags, next;
};
enum { NEXT = 1, WRITE = 2 }; /* flags */

struct available {
    uint16_t flags, index, ring[];
};

struct used {
    uint16_t flags, index;
    struct {
        uint32_t head, written;
    } ring[];
};

enum { EVENT = 2 }; /* bytes behind each ring */

static unsigned available_offset(const struct virtio_queue *queue)
{
    return sizeof(struct descriptor) * queue->size;
}

static unsigned used_offset(const struct virtio_queue *queue)
{
    unsigned ring = sizeof(struct available) + sizeof(uint16_t) * queue->size + EVENT;
    return (available_offset(queue) + ring + 3) & ~3u;
}

static unsigned queue_bytes(const struct virtio_queue *queue)
{
    unsigned ring = sizeof(struct used) + 2 * sizeof(uint32_t) * queue->size + EVENT;
    return (used_offset(queue) + ring + 7) & ~7u;
}

static void place_at(uintptr_t registers, unsigned offset, word io)
{
    store(registers, offset, (uint32_t)io);
    store(registers, offset + 4, (uint32_t)(io >> 32));
}

enum virtio virtio_set_up(uintptr_t registers, unsigned index, const struct virtio_queue *queue)
{
    store(registers, QUEUE_SEL, index);
    if (load(registers, QUEUE_SIZE_MAX) < queue->size) {
        return VIRTIO_NO_DEVICE;
    }
    store(registers, QUEUE_SIZE, queue->size);
    place_at(registers, QUEUE_DESC, queue->io);
    place_at(registers, QUEUE_DRIVER, queue->io + available_offset(queue));
    place_at(registers, QUEUE_DEVICE, queue->io + used_offset(queue));
    store(registers, QUEUE_READY, 1);
    return VIRTIO_FINE;
}

void virtio_clear(struct virtio_queue *queue)
{
    queue->offered = queue->seen = 0;
    queue->outstanding = 0;
    for (unsigned place = 0; place < VIRTIO_MAX_PLACES; place++) {
        queue->places[place].is_outstanding = false;
    }
    for (unsigned at = 0; at < queue_bytes(queue); at += sizeof(word)) {
        *(volatile word *)(queue->vaddr + at) = 0;
    }
}

void virtio_offer(struct virtio_queue *queue, unsigned place, const struct virtio_buffer *buffers,
                  unsigned count)
{
    unsigned first = place * queue->chain;
    volatile struct descriptor *descriptors = (volatile struct descriptor *)queue->vaddr;
    uint32_t room = 0;
    for (unsigned i = 0; i < count; i++) {
        bool is_last = i + 1 == count, is_written = buffers[i].is_for_device_to_write;
        descriptors[first + i].io = buffers[i].io;
        descriptors[first + i].length = buffers[i].length;
        descriptors[first + i].flags = (uint16_t)((is_last ? 0 : NEXT) | (is_written ? WRITE : 0));
        descriptors[first + i].next = (uint16_t)(is_last ? 0 : first + i + 1);
        room += is_written ? buffers[i].length : 0;
    }
    volatile struct available *ring = (volatile struct available *)(queue->vaddr + available_offset(queue));
    ring->ring[queue->offered % queue->size] = (uint16_t)first;
    queue->offered++;
    queue->outstanding++;
    queue->places[place].is_outstanding = true;
    queue->places[place].room = room;
    __asm__ volatile("fence w, w" ::: "memory");
    ring->index = queue->offered;
}

enum virtio virtio_take_back(struct virtio_queue *queue, bool *is_one, unsigned *place)
{
    const volatile struct used *ring = (const volatile struct used *)(queue->vaddr + used_offset(queue));
    uint16_t waiting = (uint16_t)(ring->index - queue->seen);
    *is_one = waiting;
    if (!waiting) {
        return VIRTIO_FINE;
    }
    if (waiting > queue->outstanding) {
        return VIRTIO_MISBEHAVED; /* more is said to be done than was offered */
    }
    __asm__ volatile("fence r, r" ::: "memory");
    uint32_t head = ring->ring[queue->seen % queue->size].head;
    uint32_t written = ring->ring[queue->seen % queue->size].written;
    unsigned number = head / queue->chain;
    if (head % queue->chain || number >= queue->size / queue->chain
        || !queue->places[number].is_outstanding || written > queue->places[number].room) {
        return VIRTIO_MISBEHAVED; /* it was not offered, or there was not so much room */
    }
    queue->seen++;
    queue->outstanding--;
    queue->places[number].is_outstanding = false;
    *place = number;
    return VIRTIO_FINE;
}
