/* The driver's side of virtio-mmio, version 2: finding a device, agreeing on features, queues in shared
 * memory. `servers/drivers/virtio.py` in C.
 *
 * After VIRTIO 1.2: sections 3.1 (initialisation), 4.2 (MMIO), 2.7 (split virtqueues). A device is not
 * trusted: whatever it writes into a ring is checked.
 */
#pragma once

#include "abi.h"

/* What came of it. */
enum virtio {
    VIRTIO_FINE,
    VIRTIO_NO_DEVICE,  /* there is no such device behind the registers, or it cannot be agreed with */
    VIRTIO_MISBEHAVED, /* it broke the rules, and must be reset before it is used again */
};

enum { VIRTIO_MAX_PLACES = 16 };

/* A queue of `size` descriptors at `vaddr` for the driver, at `io` for the device, in which each request
 * takes `chain` descriptors, always the same ones: request n those from n * chain on.
 */
struct virtio_queue {
    uintptr_t vaddr;
    word io;
    unsigned size, chain;
    uint16_t offered, seen; /* how many were given to the device, and taken back, modulo 2^16 */
    unsigned outstanding;   /* how many the device has */
    struct {
        bool is_outstanding;
        uint32_t room; /* bytes that the device may write for it */
    } places[VIRTIO_MAX_PLACES];
};

/* A piece of memory for the device. */
struct virtio_buffer {
    word io;
    uint32_t length;
    bool is_for_device_to_write;
};

/* The device, whose registers are mapped at `registers`. */

/* Stop it: afterwards it uses no queue any more. */
enum virtio virtio_reset(uintptr_t registers);
/* Find a device of that kind and agree on features, those `wanted` that it has. */
enum virtio virtio_negotiate(uintptr_t registers, uint32_t kind, word wanted, word *agreed);
/* Tell it where a queue lies. */
enum virtio virtio_set_up(uintptr_t registers, unsigned index, const struct virtio_queue *queue);
/* Let it work, once its queues are set up. */
void virtio_start(uintptr_t registers);
/* A number of 8 bytes in the configuration space. */
word virtio_config(uintptr_t registers, unsigned offset);
/* Acknowledge what it interrupts for. */
enum virtio virtio_take_interrupt(uintptr_t registers);
/* Tell it that a queue has something for it. */
void virtio_notify(uintptr_t registers, unsigned index);

/* A queue. */

/* Empty the rings, before the device is told of them. */
void virtio_clear(struct virtio_queue *queue);
/* Give a request to the device, which is to be notified afterwards. */
void virtio_offer(struct virtio_queue *queue, unsigned place, const struct virtio_buffer *buffers,
                  unsigned count);
/* Take back the next request that the device has done: `*is_one` says whether there is one. */
enum virtio virtio_take_back(struct virtio_queue *queue, bool *is_one, unsigned *place);
