/* A driver for the serial port (`docs/hwmodel.md`) that reads lines by interrupt and answers them in
 * capitals: `examples/echo/echo.py` in C.
 */
#include "microkit.h"

uintptr_t registers; /* set by the description */

enum { RBR = 0, THR = 0, IER = 1, FCR = 2, LSR = 5 };
enum { RECEIVED = 1, FIFO_ON = 1, DATA_READY = 1 };
enum { IRQ = 0, MAX_LINE = 4096 };

static char line[MAX_LINE];
static unsigned length;

static volatile uint8_t *reg(unsigned offset)
{
    return (volatile uint8_t *)(registers + offset);
}

static void say(const char *text, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        *reg(THR) = (uint8_t)text[i];
    }
}

static void answer(void)
{
    for (unsigned i = 0; i < length; i++) {
        if (line[i] >= 'a' && line[i] <= 'z') {
            line[i] -= 'a' - 'A';
        }
    }
    say(line, length);
    length = 0;
}

void init(void)
{
    *reg(FCR) = FIFO_ON;
    *reg(IER) = RECEIVED;
    static const char greeting[] = "say something\n";
    say(greeting, sizeof greeting - 1);
}

/* Bytes have arrived: take them all, then let the line interrupt again. */
void notified(microkit_channel ch)
{
    while (*reg(LSR) & DATA_READY) {
        char c = (char)*reg(RBR);
        if (length < MAX_LINE) {
            line[length++] = c;
        }
        if (c == '\n') {
            answer();
        }
    }
    microkit_irq_ack(ch);
}
