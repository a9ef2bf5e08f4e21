/* Address spaces and capability spaces. */
#include "spaces.h"

/* Provided by root.ld: the image begins with what is never written. */
extern char image_start[], image_data[], image_end[];

enum { FREE_AREA = 0x40000000 }; /* well above any image */

struct vspace own_vspace = {.root = ROOT_VSPACE, .next_free = FREE_AREA};

struct vspace new_vspace(void)
{
    struct vspace vspace = {.root = new_object(OBJECT_PAGE_TABLE), .next_free = FREE_AREA};
    must(seL4_ASIDPool_Assign(ROOT_ASID_POOL, vspace.root), "assign an ASID");
    return vspace;
}

void map_page(struct vspace *vspace, cptr frame, word vaddr, word rights, word attributes)
{
    for (;;) {
        word error = seL4_Page_Map(frame, vspace->root, vaddr, rights, attributes);
        if (error != FAILED_LOOKUP) {
            must(error, "map a page");
            return;
        }
        /* A page table is missing. Mapping one fills the highest level that has none. */
        cptr table = new_object(OBJECT_PAGE_TABLE);
        must(seL4_PageTable_Map(table, vspace->root, vaddr, 0), "map a page table");
    }
}

void *map_window(cptr frame)
{
    word vaddr = own_vspace.next_free;
    own_vspace.next_free += PAGE_SIZE;
    map_page(&own_vspace, copy_cap(frame), vaddr, RIGHT_READ | RIGHT_WRITE, EXECUTE_NEVER);
    return (void *)vaddr;
}

static cptr image_frame(word vaddr)
{
    return boot->user_image_frames.start + (vaddr - (word)image_start) / PAGE_SIZE;
}

void share_image(struct vspace *vspace, const void *start, const void *end, word rights,
                 word attributes)
{
    for (word vaddr = (word)start; vaddr < (word)end; vaddr += PAGE_SIZE) {
        map_page(vspace, copy_cap(image_frame(vaddr)), vaddr, rights, attributes);
    }
}

/* Give `vspace` a page at `vaddr` with the contents that ours has there. */
static void copy_page(struct vspace *vspace, word vaddr)
{
    cptr frame = new_object(OBJECT_PAGE);
    word *to = map_window(frame);
    const word *from = (const word *)vaddr;
    for (word i = 0; i < PAGE_SIZE / sizeof(word); i++) {
        to[i] = from[i];
    }
    map_page(vspace, frame, vaddr, RIGHT_READ | RIGHT_WRITE, EXECUTE_NEVER);
}

struct vspace vspace_with_our_image(void)
{
    struct vspace vspace = new_vspace();
    share_image(&vspace, image_start, image_data, RIGHT_READ, 0);
    for (word vaddr = (word)image_data; vaddr < (word)image_end; vaddr += PAGE_SIZE) {
        copy_page(&vspace, vaddr);
    }
    return vspace;
}

struct cspace new_cspace(word radix)
{
    return (struct cspace){.cnode = new_sized_object(OBJECT_CNODE, radix), .radix = radix};
}

void give_cap(struct cspace cspace, word slot, cptr source, word rights, word badge)
{
    must(seL4_CNode_Mint(cspace.cnode, slot, cspace.radix, ROOT_CNODE, source, ROOT_CNODE_DEPTH,
                         rights, badge),
         "give a cap");
}
