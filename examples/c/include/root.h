/* What every root task here starts from: the program's frame, free slots, and new objects. */
#pragma once

#include "console.h"
#include "invocations.h"

/* Each program defines these two. When root_task returns, the program is done. */
extern const char program_name[];
void root_task(void);

/* What the kernel told us at the start. */
extern const struct boot_info *boot;

/* Called by start.S. */
_Noreturn void root_start(const struct boot_info *boot_info);

/* Print `NAME: FAILED: why` and stop. */
_Noreturn void fail(const char *why);
void require(bool condition, const char *why);
/* The same for the result of an invocation. */
void must(word error, const char *what);

/* An empty slot of our CNode, never given out before. */
cptr new_slot(void);

/* A new kernel object; its cap is in a slot of our CNode. */
cptr new_object(word type);
cptr new_sized_object(word type, word size_bits);
/* The same from an untyped of your choice. */
cptr retype(cptr untyped, word type, word size_bits);

/* Another cap to the same object, in a slot of our CNode. */
cptr copy_cap(cptr source);
/* The same with fewer rights and with a badge (0: none). */
cptr mint_cap(cptr source, word rights, word badge);
