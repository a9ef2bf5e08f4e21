/* The first program: what does a root task hold? BootInfo says. */
#include "root.h"

const char program_name[] = "hello";

static word count(struct slot_region region)
{
    return region.end - region.start;
}

static void print_region(const char *what, struct slot_region region)
{
    if (count(region)) {
        print("  %-24s slots %4u to %4u\n", what, region.start, region.end - 1);
    }
}

static void print_untypeds(void)
{
    word ram = 0, devices = 0;
    for (word i = 0; i < count(boot->untyped); i++) {
        word size = (word)1 << boot->untyped_list[i].size_bits;
        if (boot->untyped_list[i].is_device) {
            devices++;
        } else {
            ram += size;
        }
    }
    print("  untyped memory: %u pieces of RAM, together %u KiB; %u pieces of device space\n",
          count(boot->untyped) - devices, ram >> 10, devices);
}

static void print_largest(void)
{
    word best = 0;
    for (word i = 0; i < count(boot->untyped); i++) {
        const struct untyped_description *u = &boot->untyped_list[i];
        const struct untyped_description *b = &boot->untyped_list[best];
        if (!u->is_device && (b->is_device || u->size_bits > b->size_bits)) {
            best = i;
        }
    }
    print("  the largest piece: cap %u, %u KiB at physical address %x\n",
          boot->untyped.start + best, (word)1 << (boot->untyped_list[best].size_bits - 10),
          boot->untyped_list[best].paddr);
}

void root_task(void)
{
    print("hello, I am the root task: the first thread, with a cap to everything\n");
    print("  BootInfo at %x, my IPC buffer at %x\n", (word)boot, (word)ipc_buffer());
    print("  my CNode has %u slots\n", (word)1 << boot->cnode_size_bits);
    print_region("page tables of my image", boot->user_image_paging);
    print_region("extra BootInfo pages", boot->extra_pages);
    print_region("scheduling control", boot->sched_control);
    print_region("frames of my image", boot->user_image_frames);
    print_region("untyped memory", boot->untyped);
    print_region("empty", boot->empty);
    print_untypeds();
    print_largest();
}
