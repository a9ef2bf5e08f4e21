/* The console of the fortress: drives the serial port by its interrupt, and puts the speaker's name
 * before each line. `examples/fortress/console.py` in C, and takes its place.
 *
 * The name comes from the channel, which is the badge of the caller's cap: nobody can speak in
 * another's name.
 */
#include "microkit.h"

uintptr_t registers; /* set by the description */

enum { THR = 0, IER = 1, IIR = 2, FCR = 2 };
enum { FIFO_ON = 1, TRANSMITTER_EMPTY = 2, FIFO_SIZE = 16 };
enum { IRQ = 0, FIRST_SPEAKER = 2, SPEAKERS = 4, NAME_WIDTH = 7 };
enum { WRITE = 1, OK = 0, MALFORMED = 34 };

static const char *const names[SPEAKERS] = {"policy", "warden", "alice", "bob"};

/* Bytes that wait for the transmitter, in a ring; what does not fit is lost. */
enum { RING = 1 << 16 };
static char ring[RING];
static unsigned first, count;
static bool sending;

static volatile uint8_t *reg(unsigned offset)
{
    return (volatile uint8_t *)(registers + offset);
}

static void put(char c)
{
    if (count < RING) {
        ring[(first + count++) % RING] = c;
    }
}

static void put_name(const char *name)
{
    unsigned length = 0;
    while (name[length]) {
        length++;
    }
    for (unsigned i = length; i < NAME_WIDTH; i++) {
        put(' ');
    }
    for (unsigned i = 0; i < length; i++) {
        put(name[i]);
    }
}

/* A text in a message is its length in bytes, then the bytes. */
static void put_text(word words)
{
    word length = microkit_mr_get(0), room = (words - 1) * sizeof(word);
    for (word i = 0; i < length && i < room; i++) {
        put((char)(microkit_mr_get((uint8_t)(1 + i / sizeof(word))) >> i % sizeof(word) * 8));
    }
}

/* Fill the transmitter's FIFO; ask for an interrupt when it is empty, unless nothing was to be sent. */
static void send(void)
{
    sending = count > 0;
    for (unsigned i = 0; i < FIFO_SIZE && count; i++, count--) {
        *reg(THR) = (uint8_t)ring[first];
        first = (first + 1) % RING;
    }
    *reg(IER) = sending ? TRANSMITTER_EMPTY : 0;
}

void init(void)
{
    *reg(FCR) = FIFO_ON;
}

microkit_msginfo protected(microkit_channel ch, microkit_msginfo msginfo)
{
    word words = microkit_msginfo_get_count(msginfo);
    if (microkit_msginfo_get_label(msginfo) != WRITE || !words) {
        return microkit_msginfo_new(MALFORMED, 0);
    }
    put_name(names[(ch - FIRST_SPEAKER) % SPEAKERS]);
    put(' ');
    put('|');
    put(' ');
    put_text(words);
    put('\n');
    if (!sending) {
        send();
    }
    return microkit_msginfo_new(OK, 0);
}

/* The transmitter is empty; reading why takes the interrupt back. */
void notified(microkit_channel ch)
{
    (void)*reg(IIR);
    send();
    microkit_irq_ack(ch);
}
