/* The words of the protocol by which a disk is used: `capkernel/protocols/block.py` in C.
 *
 * A request's label is interface and operation, its words are the arguments. A reply's label is 0 and its
 * words are the result; or it names a failure, whose text the words are (the number of its bytes first).
 */
#pragma once

#include "microkit.h"

enum { SECTOR = 512 };

/* Operations */
enum { ANY_INTERFACE = 0, BLOCK_INTERFACE = 1, OPERATION_BITS = 8 };
enum {
    BLOCK_INFO = 1,
    BLOCK_READ = 2,
    BLOCK_WRITE = 3,
    BLOCK_FLUSH = 4,
    EVERYBODYS_REVOKE = 0xFD,
    EVERYBODYS_DERIVE = 0xFE,
    EVERYBODYS_DROP = 0xFF,
};
static const word SPILLED = 1ull << 51; /* of a label: the words lie in shared memory */

/* Failures */
enum failure {
    MALFORMED = 0x101,
    NOT_PERMITTED = 0x102,
    GONE = 0x103,
    QUOTA_EXCEEDED = 0x109,
    DEVICE_ERROR = 0x10A,
    BUSY = 0x10B,
    SERVER_DIED = 0x10C,
};

/* A text in a message: begun with `block_text_begin`, then written piece by piece. */
void block_text_begin(void);
void block_text(const char *text);
void block_number(int64_t number);
/* How many words of the message it takes. `at` is the word with the number of its bytes. */
uint16_t block_text_end(uint8_t at);

/* The reply that reports a failure with the text that was written. */
microkit_msginfo block_failure(enum failure failure);
