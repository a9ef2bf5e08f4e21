/* A program that tries everything it can think of, and the parent that watches it.
 *
 * The attacker (attacker_child*) has its own address space and a CSpace with one cap, which it may
 * only send through. The parent handles its faults: it counts each and lets the attacker go on
 * behind the instruction. A way in is an attempt that gave the attacker something it should not
 * have: an access or instruction that was not refused, a call that a cap it does not hold answered,
 * a value of somebody else in its registers, a change to what is the parent's.
 *
 * With WEAK (attacker_weak) the parent gives one thing too many: it maps its secret page for the
 * attacker. The same attempts then succeed, which shows that they are real.
 */
#include "attacker.h"
#include "threads.h"

#ifdef WEAK
const char program_name[] = "attacker_weak";
enum { ONE_THING_TOO_MANY = true };
#else
const char program_name[] = "attacker";
enum { ONE_THING_TOO_MANY = false };
#endif

_Static_assert(sizeof(struct report) <= PAGE_SIZE, "the report is one page");

/* The attacker's part of our image (root.ld). */
extern char child_text[], child_data[], child_end[];

/* Where the attacker's own things go: not where ours are, so that ours can be attacked. */
enum { REPORT_ADDRESS = 0x30000000, CHILD_AREA = 0x50000000 };
enum { CHILD_RADIX = 4, CHILD_CAP = 1, CHILD_PRIORITY = 100 };

enum { SECRET_WORDS = PAGE_SIZE / sizeof(word) };
word secret_page[SECRET_WORDS] __attribute__((aligned(PAGE_SIZE)));

static word secret(word i)
{
    return 0x5ec2e7000000 + i;
}

struct watch {
    struct thread thread;
    struct cspace cspace;
    cptr endpoint;
    cptr reply;
    struct report *report;
    word faults[CATEGORIES]; /* as we counted them */
    word messages;
    word forged_messages;
};

/* --- setting it up --- */

static void fill_secret_page(void)
{
    for (word i = 0; i < SECRET_WORDS; i++) {
        secret_page[i] = secret(i);
    }
}

/* While we handle the attacker's faults, all floating-point registers hold secrets. */
static void load_fp_registers(const word *from)
{
    __asm__ volatile(
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29\n"
        "fld f\\n, 8*\\n(%0)\n"
        ".endr\n"
        "fld f30, 240(%0)\n"
        "fld f31, 248(%0)\n" ::"r"(from));
}

static void store_fp_registers(word *to)
{
    __asm__ volatile(
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29\n"
        "fsd f\\n, 8*\\n(%0)\n"
        ".endr\n"
        "fsd f30, 240(%0)\n"
        "fsd f31, 248(%0)\n" ::"r"(to)
        : "memory");
}

static struct vspace new_child_vspace(cptr report_frame)
{
    struct vspace vspace = new_vspace();
    vspace.next_free = CHILD_AREA;
    share_image(&vspace, child_text, child_data, RIGHT_READ, 0);
    share_image(&vspace, child_data, child_end, RIGHT_READ | RIGHT_WRITE, EXECUTE_NEVER);
    map_page(&vspace, report_frame, REPORT_ADDRESS, RIGHT_READ | RIGHT_WRITE, EXECUTE_NEVER);
    if (ONE_THING_TOO_MANY) {
        share_image(&vspace, secret_page, secret_page + SECRET_WORDS, RIGHT_READ | RIGHT_WRITE,
                    EXECUTE_NEVER);
    }
    return vspace;
}

static void start_attacker(struct watch *watch)
{
    cptr report_frame = new_object(OBJECT_PAGE);
    struct vspace vspace = new_child_vspace(report_frame);
    watch->report = map_window(report_frame);
    watch->endpoint = new_object(OBJECT_ENDPOINT);
    watch->reply = new_object(OBJECT_REPLY);
    watch->cspace = new_cspace(CHILD_RADIX);
    give_cap(watch->cspace, CHILD_CAP, watch->endpoint, RIGHT_WRITE, ATTACKER_BADGE);
    watch->thread = start_thread((struct thread_start){
        .vspace = &vspace,
        .cspace = &watch->cspace,
        .fault_endpoint = mint_cap(watch->endpoint, ALL_RIGHTS, ATTACKER_FAULT_BADGE),
        .priority = CHILD_PRIORITY,
        .entry = attacker_start,
        .arguments = {REPORT_ADDRESS},
    });
}

/* --- watching --- */

/* Where the next instruction begins: one whose lowest two bits are set has four bytes, else two. */
static word behind(word pc)
{
    uint16_t first_half = *(const uint16_t *)pc;
    return pc + ((first_half & 3) == 3 ? 4 : 2);
}

static bool is_child_code(word pc)
{
    return pc >= (word)child_text && pc < (word)child_data;
}

/* The attacker goes on at `pc`, whatever it was doing. */
static void go_on_at(struct watch *watch, word pc)
{
    struct registers registers = {.pc = pc};
    must(seL4_TCB_WriteRegisters(watch->thread.tcb, true, 1, &registers), "let it go on");
}

/* After a jump that failed: as if the function that it jumped to had returned. */
static void return_from_jump(struct watch *watch)
{
    struct registers registers;
    must(seL4_TCB_ReadRegisters(watch->thread.tcb, 2, &registers), "read its registers");
    go_on_at(watch, registers.ra);
}

/* A Call stops a thread that may not get a reply, for good, unless we start it again. */
static void go_on_after_call(struct watch *watch)
{
    struct registers registers;
    must(seL4_TCB_ReadRegisters(watch->thread.tcb, 1, &registers), "read its registers");
    go_on_at(watch, behind(registers.pc));
}

static void touch_reserved_word(struct watch *watch)
{
    watch->report->reserved++;
}

/* A message through its cap: it must come with the badge and without caps, whatever it claims. */
static void take_message(struct watch *watch, struct message m)
{
    watch->messages++;
    if (m.badge != ATTACKER_BADGE || info_extra_caps(m.info) || info_caps_unwrapped(m.info)
        || info_length(m.info) > MAX_MESSAGE_LENGTH) {
        watch->forged_messages++;
    }
    touch_reserved_word(watch);
    if (info_label(m.info) == LABEL_CALLED) {
        go_on_after_call(watch);
    }
}

static void count_fault(struct watch *watch)
{
    word category = watch->report->category;
    require(category < CATEGORIES, "the attacker has spoiled its report");
    watch->faults[category]++;
    watch->report->faults++;
    touch_reserved_word(watch);
}

/* Exceptions and unknown system calls: a reply can say where to go on. */
static struct message reply_and_wait(struct watch *watch, word pc)
{
    struct message answer = {.info = message_info(0, 0, 1), .mr = {pc}};
    return seL4_ReplyRecv(watch->endpoint, answer, watch->reply);
}

/* Let the attacker go on after `fault`, and return the next message. */
static struct message go_on_after_fault(struct watch *watch, struct message fault)
{
    word label = info_label(fault.info), pc = fault.mr[0];
    bool in_child = is_child_code(pc) && !(label == FAULT_VM && fault.mr[2]);
    if (in_child && (label == FAULT_USER_EXCEPTION || label == FAULT_UNKNOWN_SYSCALL)) {
        return reply_and_wait(watch, behind(pc));
    }
    if (in_child) {
        go_on_at(watch, behind(pc));
    } else {
        return_from_jump(watch);
    }
    return seL4_Recv(watch->endpoint, watch->reply);
}

static void watch_attacker(struct watch *watch)
{
    struct message m = seL4_Recv(watch->endpoint, watch->reply);
    while (m.badge != ATTACKER_BADGE || info_label(m.info) != LABEL_DONE) {
        if (m.badge == ATTACKER_FAULT_BADGE) {
            count_fault(watch);
            m = go_on_after_fault(watch, m);
        } else {
            take_message(watch, m);
            m = seL4_Recv(watch->endpoint, watch->reply);
        }
    }
}

/* --- judging --- */

static word failed_checks;

static void check(bool good, const char *what)
{
    print("  %-4s%s\n", good ? "yes" : "NO", what);
    failed_checks += !good;
}

static bool secret_page_unchanged(void)
{
    for (word i = 0; i < SECRET_WORDS; i++) {
        if (((volatile word *)secret_page)[i] != secret(i)) {
            return false;
        }
    }
    return true;
}

static bool fp_registers_unchanged(void)
{
    word values[32];
    store_fp_registers(values);
    for (word i = 0; i < 32; i++) {
        if (values[i] != secret(i)) {
            return false;
        }
    }
    return true;
}

/* Its own pointers are in x2 to x4 (sp, gp, tp), its argument in x10 (a0). */
static bool first_registers_empty(const struct report *report)
{
    for (word i = 0; i < 31; i++) {
        word x = i + 1;
        bool is_ours = (x >= 2 && x <= 4) || x == 10;
        if (!is_ours && report->first_registers[i]) {
            return false;
        }
    }
    for (word i = 0; i < 33; i++) {
        if (report->first_fp[i]) {
            return false;
        }
    }
    return true;
}

/* A slot is empty if nothing can be copied from it. */
static bool holds_one_cap(struct cspace cspace)
{
    for (word slot = 0; slot < (word)1 << cspace.radix; slot++) {
        word error = seL4_CNode_Copy(ROOT_CNODE, new_slot(), ROOT_CNODE_DEPTH, cspace.cnode, slot,
                                     cspace.radix, ALL_RIGHTS);
        if ((error == NO_ERROR) != (slot == CHILD_CAP)) {
            return false;
        }
    }
    return true;
}

static bool all_faults_seen(const struct watch *watch)
{
    for (word c = 0; c < CATEGORIES; c++) {
        if (watch->report->tally[c].faults > watch->faults[c]) {
            return false;
        }
    }
    return true;
}

static void check_everything(const struct watch *watch)
{
    check(secret_page_unchanged(), "the secret page is unchanged");
    check(fp_registers_unchanged(), "our floating-point registers are unchanged");
    check(first_registers_empty(watch->report), "its registers were empty when it began");
    check(holds_one_cap(watch->cspace), "it holds the one cap that it held at the start");
    check(!watch->forged_messages, "every message had its badge, and no cap");
    check(all_faults_seen(watch), "its count of faults is no higher than ours");
}

static const char *const category_names[CATEGORIES] = {
    [FOREIGN_READ] = "read foreign memory",
    [FOREIGN_WRITE] = "write foreign memory",
    [FOREIGN_EXECUTE] = "execute foreign memory",
    [OWN_CODE_WRITE] = "write its own code",
    [DATA_EXECUTE] = "execute its own data",
    [ODD_JUMP] = "jump to odd places",
    [PRIVILEGED] = "privileged instructions",
    [CSR_READ] = "read CSRs",
    [CSR_WRITE] = "write CSRs",
    [COUNTER] = "read counters",
    [SYSTEM_CALL] = "system-call numbers",
    [CAP_ADDRESS] = "cap addresses, labels",
    [REPLY_UNASKED] = "reply to nobody",
    [MESSAGE_FORGERY] = "forged messages",
    [FP_STATE] = "floating-point state",
    [RESERVATION] = "reservations",
};

static void print_row(const char *name, const struct tally *t)
{
    word in = t->attempts - t->faults - t->no_effect - t->allowed;
    print("  %-24s %8u %8u %10u %8u %8u\n", name, t->attempts, t->faults, t->no_effect,
          t->allowed, in);
}

static void add(struct tally *sum, const struct tally *t)
{
    sum->attempts += t->attempts;
    sum->faults += t->faults;
    sum->no_effect += t->no_effect;
    sum->allowed += t->allowed;
}

/* Returns the sum of all rows. */
static struct tally print_table(const struct report *report)
{
    struct tally sum = {0};
    print("  %-24s %8s %8s %10s %8s %8s\n", "", "attempts", "faults", "no effect", "allowed",
          "WAYS IN");
    for (word c = 0; c < CATEGORIES; c++) {
        print_row(category_names[c], &report->tally[c]);
        add(&sum, &report->tally[c]);
    }
    print_row("all", &sum);
    return sum;
}

static void print_way_in(const struct way_in *w)
{
    static const char *const loads[LOADS] = {"lb",  "lh",  "lw",   "ld",  "lbu",
                                             "fld", "flw", "lr.w", "lr.d"};
    static const char *const stores[STORES] = {"sb",   "sh",        "sw",       "sd",      "fsd",
                                               "fsw",  "amoswap.w", "amoadd.d", "amoor.d",
                                               "amomaxu.w"};
    print("  WAY IN: %s: ", category_names[w->category]);
    if (w->category == FOREIGN_READ) {
        print("%s", loads[w->operation]);
    } else if (w->category == FOREIGN_WRITE || w->category == OWN_CODE_WRITE) {
        print("%s", stores[w->operation]);
    } else {
        print("operation %x", w->operation);
    }
    print(" at %x\n", w->address);
}

static void print_ways_in(const struct report *report)
{
    for (word i = 0; i < report->way_in_count && i < MAX_WAYS_IN; i++) {
        print_way_in(&report->ways_in[i]);
    }
}

void root_task(void)
{
    static struct watch watch;
    fill_secret_page();
    start_attacker(&watch);
    load_fp_registers(secret_page);
    watch_attacker(&watch);
    check_everything(&watch);
    end_thread(watch.thread);

    print_ways_in(watch.report);
    struct tally sum = print_table(watch.report);
    word ways_in = sum.attempts - sum.faults - sum.no_effect - sum.allowed + failed_checks;
    print("%s: attempts: %u, refused: %u, ways in: %u\n", program_name, sum.attempts,
          sum.faults + sum.no_effect, ways_in);
    require((ways_in != 0) == ONE_THING_TOO_MANY, "not the expected number of ways in");
}
