/* A client in C of a server in Python. For `examples/mixed/mixed.system`. */
#include "microkit.h"

enum { SQUARES = 0, NEXT = 1, COUNT = 6, LABEL = 7 };

void init(void)
{
    for (uint8_t i = 0; i < COUNT; i++) {
        microkit_mr_set(i, i + 1u);
    }
    microkit_msginfo answer = microkit_ppcall(SQUARES, microkit_msginfo_new(LABEL, COUNT));
    microkit_dbg_puts("asker: C, the squares are");
    for (uint8_t i = 0; i < microkit_msginfo_get_count(answer); i++) {
        microkit_dbg_puts(" ");
        microkit_dbg_put32((uint32_t)microkit_mr_get(i));
    }
    microkit_dbg_puts("\n");
    microkit_notify(NEXT);
}

void notified(microkit_channel ch)
{
    (void)ch;
}
