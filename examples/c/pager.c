/* Paging in user space: a child touches memory that is not there; its parent is told, provides the
 * page, and lets it go on. A write to a page that is only for reading ends the child.
 */
#include "threads.h"

const char program_name[] = "pager";

enum { PARENT = 1 }; /* the child's only cap */
enum { CHILD_BADGE = 1, FAULT_BADGE = 2 };
enum { HEAP = 0x10000000, HEAP_PAGES = 4, LIBRARY = 0x20000000 };
enum { GREETING = 0x600df00d };

/* The child's last instruction, in a function of its own so that its address is known. */
void forbidden_store(word *address);
__asm__(".text\n"
        ".globl forbidden_store\n"
        "forbidden_store:\n"
        "    sd zero, (a0)\n"
        "    ret\n");

static word use_heap(void)
{
    word sum = 0;
    for (word i = 0; i < HEAP_PAGES; i++) {
        volatile word *page = (word *)(HEAP + i * PAGE_SIZE);
        sum += page[0];
        page[1] = sum;
    }
    return sum;
}

static void tell_parent(word value)
{
    seL4_Call(PARENT, (struct message){.info = message_info(0, 0, 1), .mr = {value}});
}

static void child(word a, word b, word c)
{
    (void)a, (void)b, (void)c;
    tell_parent(use_heap());
    tell_parent(*(volatile word *)LIBRARY);
    forbidden_store((word *)LIBRARY);
    tell_parent(0); /* never */
}

static word *library;

/* A new page with `content` in its first word, mapped for the child. */
static word *provide(struct vspace *vspace, word vaddr, word content, word rights)
{
    cptr frame = new_object(OBJECT_PAGE);
    word *window = map_window(frame);
    window[0] = content;
    map_page(vspace, frame, vaddr, rights, EXECUTE_NEVER);
    return window;
}

/* The policy: what is where, and what the child may do with it. False: it may not do this. */
static bool serve_fault(struct vspace *vspace, struct message fault)
{
    word page = fault.mr[1] & ~(word)(PAGE_SIZE - 1);
    if (info_label(fault.info) != FAULT_VM) {
        return false;
    }
    if (page >= HEAP && page < HEAP + HEAP_PAGES * PAGE_SIZE) {
        word content = (page - HEAP) / PAGE_SIZE + 1;
        provide(vspace, page, content, RIGHT_READ | RIGHT_WRITE);
        return true;
    }
    if (page == LIBRARY && !library) {
        library = provide(vspace, page, GREETING, RIGHT_READ);
        return true;
    }
    return false;
}

/* Serve the child until it does what it may not, and return that fault. */
static struct message serve(struct vspace *vspace, cptr endpoint, cptr reply)
{
    struct message m = seL4_Recv(endpoint, reply);
    for (;;) {
        if (m.badge == CHILD_BADGE) {
            print("pager: the child says %x\n", m.mr[0]);
        } else {
            print("pager: ");
            print_fault(m);
            if (!serve_fault(vspace, m)) {
                print(": forbidden\n");
                return m;
            }
            print(": mapped\n");
        }
        m = seL4_ReplyRecv(endpoint, (struct message){0}, reply);
    }
}

static void check_fault(struct message fault)
{
    require(info_label(fault.info) == FAULT_VM, "not a VM fault");
    require(fault.mr[0] == (word)forbidden_store, "the fault is not at the forbidden store");
    require(fault.mr[1] == LIBRARY, "the fault is at another address");
    require(fault.mr[3] == ACCESS_WRITE, "the fault is not a write");
    require(library[0] == GREETING, "the page that was only for reading has changed");
}

void root_task(void)
{
    cptr endpoint = new_object(OBJECT_ENDPOINT);
    struct vspace vspace = vspace_with_our_image();
    struct cspace cspace = new_cspace(1);
    give_cap(cspace, PARENT, endpoint, RIGHT_WRITE | RIGHT_GRANT_REPLY, CHILD_BADGE);
    struct thread thread = start_thread((struct thread_start){
        .vspace = &vspace,
        .cspace = &cspace,
        .fault_endpoint = mint_cap(endpoint, ALL_RIGHTS, FAULT_BADGE),
        .priority = 100,
        .entry = child,
    });
    check_fault(serve(&vspace, endpoint, new_object(OBJECT_REPLY)));
    end_thread(thread);
    print("pager: the fault is exact, the page unchanged, the child ended\n");
}
