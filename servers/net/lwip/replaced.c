/* What lwIP is not to have from the host: its time, its random numbers, its threads, and the end of the process. */

#include <stdarg.h>
#include <stdio.h>

#include "lwip/sys.h"
#include "lwip/timeouts.h"

#include "private.h"

unsigned replaced;

u32_t sys_now(void) { return current->now; }
u32_t sys_jiffies(void) { return current->now; }
void sys_timeouts_init(void) { replaced |= SAW_TIMERS; }

void tcp_timer_needed(void) {
    if (!current->tcp_ticking && (tcp_active_pcbs != NULL || tcp_tw_pcbs != NULL)) {
        current->tcp_ticking = true;
        current->tcp_due = current->now + TCP_TMR_INTERVAL;
    }
}

/* SplitMix64, by Sebastiano Vigna (public domain). */
static uint32_t draw(net_stack *stack) {
    uint64_t z = stack->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

u32_t tcp_next_iss(struct tcp_pcb *pcb) { return draw(current); }

int replaced_rand(void) __asm__("rand");
int replaced_rand(void) {
    int number;
    replaced |= SAW_RAND;
    if (current == NULL)
        return 0;
    if (current->preset != 0) {
        number = (int)(current->preset - 1);
        current->preset = 0;
        return number;
    }
    number = (int)(draw(current) >> 1);
    if ((number & LAST_PORT) == LAST_PORT)
        number--;
    /* UDP asks first, then TCP. */
    if (current->ports_drawn < 2)
        current->ports[current->ports_drawn++] = (uint16_t)(FIRST_PORT + (number & LAST_PORT));
    return number;
}

void sys_init(void) { replaced |= SAW_INIT; }
sys_prot_t sys_arch_protect(void) { return 0; }
void sys_arch_unprotect(sys_prot_t level) {}
void sys_check_core_locking(void) {}

/* lwIP asks for two things "later, by the thread": to loop packets to itself, and to free memory when a pool is
   empty. Later is the end of the call. */
err_t tcpip_try_callback(tcpip_callback_fn function, void *argument) {
    for (int i = 0; i < current->deferred_count; i++)
        if (current->deferred[i].function == function && current->deferred[i].argument == argument)
            return ERR_OK;
    if (current->deferred_count == (int)(sizeof current->deferred / sizeof *current->deferred))
        return ERR_MEM;
    current->deferred[current->deferred_count++] = (struct deferred){function, argument};
    return ERR_OK;
}

void run_deferred(net_stack *stack) {
    struct deferred now[sizeof stack->deferred / sizeof *stack->deferred];
    int count;
    while ((count = stack->deferred_count) != 0) {
        memcpy(now, stack->deferred, sizeof now);
        stack->deferred_count = 0;
        for (int i = 0; i < count; i++)
            now[i].function(now[i].argument);
    }
}

static void keep_message(const char *format, va_list arguments) {
    if (current != NULL)
        vsnprintf(current->assertion, sizeof current->assertion, format, arguments);
}

/* printf, as it is called by what was compiled with and without checks of buffer sizes. */
int replaced_printf_chk(int flag, const char *format, ...) __asm__("__printf_chk");
int replaced_printf_chk(int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep_message(format, arguments);
    va_end(arguments);
    return 0;
}

int replaced_printf(const char *format, ...) __asm__("printf");
int replaced_printf(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    keep_message(format, arguments);
    va_end(arguments);
    return 0;
}

void replaced_abort(void) __asm__("abort") __attribute__((noreturn));
void replaced_abort(void) {
    if (!inside || current == NULL)
        __builtin_trap();
    current->broken = true;
    longjmp(rescue, 1);
}
