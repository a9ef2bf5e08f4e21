/* A virtio disk (VIRTIO 1.2, section 5.2): requests go in, and whoever waits is told when they are done.
 * `Disk` of `servers/drivers/virtio_blk.py` in C.
 *
 * A request that the device does not answer within three signs of life is given to it again, after a
 * reset; so are all requests when it breaks its rules. If that happens too often the driver stops, by a
 * fault at an address that says why (`enum disk_end`).
 */
#pragma once

#include "abi.h"

enum { DISK_PLACES = 5 }; /* requests that the device can have at a time */

enum disk_kind { DISK_READ = 0, DISK_WRITE = 1, DISK_FLUSH = 4 };
enum { DISK_OK = 0 }; /* of the statuses of a request */

/* Addresses that nobody has mapped. */
enum disk_end {
    DISK_NOT_THERE = 0x10,   /* there is no such device */
    DISK_MISBEHAVES = 0x20,  /* resets do not help */
};

/* Set by the description: registers and a page for rings and request headers, as the driver finds them,
 * and the page as the device finds it.
 */
extern uintptr_t registers, rings;
extern word rings_io;

/* Of the device, once it was started. */
word disk_sectors(void);
bool disk_is_read_only(void);
bool disk_has_flush(void);

/* Make the device ready. */
void disk_start(void);
/* Give the device a request, for which there must be a place. `io` is where it finds the memory. */
void disk_submit(enum disk_kind kind, word sector, word io, uint32_t length, cptr caller);
/* The device interrupts. */
void disk_interrupt(void);
/* At each sign of life: see whether an interrupt was lost, and whether something takes too long. */
void disk_look(void);
/* Be done with all requests, without waiting for interrupts. */
void disk_finish(void);

/* Defined by whoever uses this: a request is done. */
void disk_done(cptr caller, word sector, uint8_t status);
