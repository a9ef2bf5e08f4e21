/* The frame of a root task, and its stock of slots and memory. */
#include "root.h"

const struct boot_info *boot;

static cptr next_slot;
static cptr pool; /* the untyped from which all objects are made */

enum { MIN_POOL_BITS = 22 };

/* The smallest piece of RAM that has room for us: the kernel clears it whole when it is first
 * retyped, and clearing a gigabyte takes its time. */
static cptr choose_pool(void)
{
    cptr best = 0;
    word best_bits = WORD_BITS;
    for (word i = 0; i < boot->untyped.end - boot->untyped.start; i++) {
        const struct untyped_description *u = &boot->untyped_list[i];
        if (!u->is_device && u->size_bits >= MIN_POOL_BITS && u->size_bits < best_bits) {
            best = boot->untyped.start + i;
            best_bits = u->size_bits;
        }
    }
    return best;
}

/* Nobody resumes us, so this is the end. */
static _Noreturn void stop(void)
{
    for (;;) {
        seL4_TCB_Suspend(ROOT_TCB);
    }
}

_Noreturn void root_start(const struct boot_info *boot_info)
{
    boot = boot_info;
    next_slot = boot->empty.start;
    pool = choose_pool();
    root_task();
    print("%s: done\n", program_name);
    stop();
}

_Noreturn void fail(const char *why)
{
    print("%s: FAILED: %s\n", program_name, why);
    stop();
}

void require(bool condition, const char *why)
{
    if (!condition) {
        fail(why);
    }
}

void must(word error, const char *what)
{
    if (error) {
        print("%s: FAILED: %s: %s\n", program_name, what, error_name(error));
        stop();
    }
}

cptr new_slot(void)
{
    require(next_slot < boot->empty.end, "no empty slot is left");
    return next_slot++;
}

cptr retype(cptr untyped, word type, word size_bits)
{
    cptr slot = new_slot();
    must(seL4_Untyped_Retype(untyped, type, size_bits, ROOT_CNODE, 0, 0, slot, 1), "retype");
    return slot;
}

cptr new_sized_object(word type, word size_bits)
{
    return retype(pool, type, size_bits);
}

cptr new_object(word type)
{
    return new_sized_object(type, 0);
}

cptr copy_cap(cptr source)
{
    return mint_cap(source, ALL_RIGHTS, 0);
}

cptr mint_cap(cptr source, word rights, word badge)
{
    cptr slot = new_slot();
    must(seL4_CNode_Mint(ROOT_CNODE, slot, ROOT_CNODE_DEPTH, ROOT_CNODE, source,
                         ROOT_CNODE_DEPTH, rights, badge),
         "mint");
    return slot;
}
