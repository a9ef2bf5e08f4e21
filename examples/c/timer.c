/* A device driver in user space: the board's timer, its registers and its interrupt.
 *
 * Only for this project's own machine: the timer lies where QEMU's `virt` has another device, and
 * nothing here finds out which of the two it is. The registers are described in docs/hwmodel.md.
 */
#include "spaces.h"

const char program_name[] = "timer";

enum { TIMER_PADDR = 0x101000, TIMER_IRQ = 11 };
enum { TICKS_PER_US = 10, PERIOD_US = 1000, INTERRUPTS = 5 };

enum { ENABLE = 1, IRQ_ENABLE = 2, EXPIRED = 1 };

struct timer {
    uint64_t count;
    uint64_t compare;
    uint32_t period;
    uint32_t control;
    uint32_t status;
};

/* The index of the device untyped that `paddr` lies in. */
static word find_device(word paddr)
{
    for (word i = 0; i < boot->untyped.end - boot->untyped.start; i++) {
        const struct untyped_description *u = &boot->untyped_list[i];
        if (u->is_device && paddr >= u->paddr && paddr - u->paddr < (word)1 << u->size_bits) {
            return i;
        }
    }
    fail("there is no device memory at the timer's address");
}

/* A frame of device memory. An untyped is used up from its beginning, so to get at a page inside
 * we cut it in two, take the right half, and so on. */
static cptr device_page(word paddr)
{
    word index = find_device(paddr);
    cptr untyped = boot->untyped.start + index;
    word base = boot->untyped_list[index].paddr;
    word bits = boot->untyped_list[index].size_bits;
    while (bits > PAGE_BITS) {
        bits--;
        cptr half = retype(untyped, OBJECT_UNTYPED, bits);
        if (paddr - base >= (word)1 << bits) {
            half = retype(untyped, OBJECT_UNTYPED, bits);
            base += (word)1 << bits;
        }
        untyped = half;
    }
    return retype(untyped, OBJECT_PAGE, 0);
}

static volatile struct timer *map_timer(void)
{
    word vaddr = own_vspace.next_free;
    own_vspace.next_free += PAGE_SIZE;
    map_page(&own_vspace, device_page(TIMER_PADDR), vaddr, RIGHT_READ | RIGHT_WRITE,
             EXECUTE_NEVER);
    return (volatile struct timer *)vaddr;
}

/* From now on interrupts of the timer arrive as signals. */
static cptr connect_irq(cptr notification)
{
    cptr handler = new_slot();
    must(seL4_IRQControl_Get(ROOT_IRQ_CONTROL, TIMER_IRQ, ROOT_CNODE, handler, ROOT_CNODE_DEPTH),
         "get the interrupt");
    must(seL4_IRQHandler_SetNotification(handler, notification), "connect the interrupt");
    must(seL4_IRQHandler_Ack(handler), "acknowledge");
    return handler;
}

static void start(volatile struct timer *timer, word first)
{
    timer->control = 0;
    timer->period = PERIOD_US * TICKS_PER_US;
    timer->compare = first;
    timer->control = ENABLE | IRQ_ENABLE;
}

void root_task(void)
{
    volatile struct timer *timer = map_timer();
    cptr notification = new_object(OBJECT_NOTIFICATION);
    cptr handler = connect_irq(notification);

    word begin = timer->count;
    start(timer, begin + PERIOD_US * TICKS_PER_US);
    for (word i = 1; i <= INTERRUPTS; i++) {
        seL4_Wait(notification);
        word elapsed = timer->count - begin;
        word due = i * PERIOD_US * TICKS_PER_US;
        print("timer: interrupt %u, due after %u us, seen after %u us\n", i, due / TICKS_PER_US,
              elapsed / TICKS_PER_US);
        require(elapsed >= due, "the interrupt is too early");
        timer->status = EXPIRED; /* the device first: its line stays up until then */
        must(seL4_IRQHandler_Ack(handler), "acknowledge");
    }
    timer->control = 0;
}
