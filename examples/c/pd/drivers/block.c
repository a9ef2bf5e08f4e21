/* Texts in messages. */
#include "block.h"

enum { ROOM = 200, DIGITS = 20 };

static union {
    char bytes[ROOM];
    word words[ROOM / sizeof(word)];
} written;
static unsigned length;

void block_text_begin(void)
{
    length = 0;
    for (unsigned i = 0; i < ROOM / sizeof(word); i++) {
        written.words[i] = 0;
    }
}

static void put(char c)
{
    if (length < ROOM) {
        written.bytes[length++] = c;
    }
}

void block_text(const char *text)
{
    for (; *text; text++) {
        put(*text);
    }
}

void block_number(int64_t number)
{
    char digits[DIGITS];
    unsigned count = 0;
    word left = number < 0 ? -(word)number : (word)number;
    do {
        digits[count++] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0) {
        put('-');
    }
    while (count) {
        put(digits[--count]);
    }
}

uint16_t block_text_end(uint8_t at)
{
    unsigned words = (unsigned)((length + sizeof(word) - 1) / sizeof(word));
    microkit_mr_set(at, length);
    for (unsigned i = 0; i < words; i++) {
        microkit_mr_set((uint8_t)(at + 1 + i), written.words[i]);
    }
    return (uint16_t)(1 + words);
}

microkit_msginfo block_failure(enum failure failure)
{
    return microkit_msginfo_new(failure, block_text_end(0));
}
