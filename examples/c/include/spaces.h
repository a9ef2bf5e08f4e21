/* What a thread can reach: its address space (VSpace) and its capability space (CSpace). */
#pragma once

#include "root.h"

struct vspace {
    cptr root; /* the top page table */
    word next_free; /* where the next stack or window goes */
};

/* The root task's own. */
extern struct vspace own_vspace;

/* An empty address space: nothing can run in it before something is mapped. */
struct vspace new_vspace(void);

/* Make `frame` visible at `vaddr`, adding page tables as needed. */
void map_page(struct vspace *vspace, cptr frame, word vaddr, word rights, word attributes);

/* Make `frame` visible to ourselves too and return where. Takes a copy of the cap, since one cap
 * can be mapped only once. */
void *map_window(cptr frame);

/* Map the pages of our own image from `start` to `end` at the same addresses: the same memory. */
void share_image(struct vspace *vspace, const void *start, const void *end, word rights,
                 word attributes);

/* An address space with our program in it: the same code, and a copy of our data as it is now. */
struct vspace vspace_with_our_image(void);

/* A CSpace of one CNode with 2^radix slots. */
struct cspace {
    cptr cnode;
    word radix;
};

struct cspace new_cspace(word radix);

/* Put a cap with at most `rights` into `slot` of `cspace`. */
void give_cap(struct cspace cspace, word slot, cptr source, word rights, word badge);
