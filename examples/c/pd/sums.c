/* A server in C: adds up the words of each message. For `examples/mixed/mixed.system`. */
#include "microkit.h"

uintptr_t ledger; /* set by the description: a region that the Python client can read */

void init(void)
{
    microkit_dbg_puts("sums: C, ready\n");
}

void notified(microkit_channel ch)
{
    (void)ch;
}

microkit_msginfo protected(microkit_channel ch, microkit_msginfo msginfo)
{
    (void)ch;
    word sum = 0, count = microkit_msginfo_get_count(msginfo);
    for (word i = 0; i < count; i++) {
        sum += microkit_mr_get((uint8_t)i);
    }
    *(volatile word *)ledger += 1;
    microkit_mr_set(0, sum);
    return microkit_msginfo_new(microkit_msginfo_get_label(msginfo), 1);
}
