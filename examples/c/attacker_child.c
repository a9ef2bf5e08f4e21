/* The attacker. It has an address space with its own code, data, stack and IPC buffer, a CSpace
 * with one cap that it may only send through, and knows where everything else in the system lies.
 * It links against nothing: its code is mapped without the rest of the image.
 */
#include "attacker.h"
#include "syscalls.h"

enum { OWN_CAP = 1 }; /* the slot of its only cap */
enum { CAP_ADDRESSES = 32, LABELS = 48 };
enum { MARK = 0x5ec7 }; /* what it writes where it should not */

extern const char load_probes[], store_probes[], jump_to[];
extern const char illegal_in_the_middle[], return_in_the_middle[], first_half[];
extern const char privileged_probes[], privileged_probes_end[];
extern const char csr_read_probes[], csr_write_probes[];
extern word first_registers[31], first_fp[33];

void system_call(word registers[64]);
word fp_exchange(word registers[32], word fcsr);
word reserve_across_fault(volatile word *address, word value);
word reserve_across_send(volatile word *address, word value, cptr cap, word info);
void attacker_main(struct report *report);

/* Places in the image that are not mapped for us, and the borders of what is. */
extern char image_start[], child_text[], child_data[], child_end[], image_end[];
extern char secret_page[];

static struct report *report;

/* --- keeping count --- */

static word begin(enum category category)
{
    report->category = category;
    report->tally[category].attempts++;
    return report->faults;
}

static bool faulted_since(word faults)
{
    return report->faults != faults;
}

static void way_in(enum category category, word operation, word address)
{
    if (report->way_in_count < MAX_WAYS_IN) {
        struct way_in *w = &report->ways_in[report->way_in_count];
        w->category = category;
        w->operation = operation;
        w->address = address;
    }
    report->way_in_count++;
}

/* For attempts that only a fault refuses. */
static void expect_fault(enum category category, word faults, word operation, word address)
{
    if (faulted_since(faults)) {
        report->tally[category].faults++;
    } else {
        way_in(category, operation, address);
    }
}

/* For attempts that are refused if they change or tell nothing. */
static void expect_no_effect(enum category category, bool effect, word operation, word address)
{
    if (effect) {
        way_in(category, operation, address);
    } else {
        report->tally[category].no_effect++;
    }
}

/* --- memory --- */

typedef void probe(word address, word value);

static void call_probe(const char *code, word address, word value)
{
    ((probe *)(word)code)(address, value);
}

static void try_to_read(word address)
{
    for (word i = 0; i < LOADS; i++) {
        word faults = begin(FOREIGN_READ);
        call_probe(load_probes + 16 * i, address, 0);
        expect_fault(FOREIGN_READ, faults, i, address);
    }
}

static void try_to_write(enum category category, word address)
{
    for (word i = 0; i < STORES; i++) {
        word faults = begin(category);
        call_probe(store_probes + 16 * i, address, MARK);
        expect_fault(category, faults, i, address);
    }
}

static void try_to_execute(enum category category, word address)
{
    word faults = begin(category);
    call_probe(jump_to, address, 0);
    expect_fault(category, faults, 0, address);
}

static void try_all_accesses(word address)
{
    try_to_read(address);
    try_to_write(FOREIGN_WRITE, address);
    try_to_execute(FOREIGN_EXECUTE, address);
}

static bool is_mine(word address)
{
    return address >= (word)child_text && address < (word)child_end;
}

/* Where others keep things: the parent's code, secret, stack, IPC buffer, BootInfo and windows;
 * devices and RAM by their physical addresses; the kernel's windows; the borders of it all. */
static void try_known_places(void)
{
    static char *const places[] = {
        image_start,  secret_page,   secret_page + 0xff8,
        child_end,    image_end - 8, image_end,
        image_end + PAGE_SIZE,
    };
    static const word numbers[] = {
        0x40001000,         0x02000000,         0x0c000000,         0x10001000,
        0x80200000,         0x84000000,         0x3fffffeff8,       0x3ffffff000,
        0xffffffc000000000, 0xffffffc080200000, 0xffffffc084000000, 0xffffffff80000000,
        0xffffffff84000000, 0xffffffffc0000000, 0xfffffffffffff000,
    };
    for (word i = 0; i < sizeof places / sizeof places[0]; i++) {
        try_all_accesses((word)places[i]);
    }
    for (word i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        try_all_accesses(numbers[i]);
    }
}

static void try_powers_of_two(void)
{
    try_all_accesses(0);
    for (word bit = 3; bit < WORD_BITS; bit++) {
        word address = (word)1 << bit;
        if (!is_mine(address)) {
            try_all_accesses(address);
        }
        try_all_accesses(-address);
    }
}

/* --- code --- */

static void try_to_change_code(void)
{
    for (word page = (word)child_text; page < (word)child_data; page += 8 * PAGE_SIZE) {
        try_to_write(OWN_CODE_WRITE, page);
    }
    try_to_write(OWN_CODE_WRITE, (word)jump_to);
}

/* Write code where we may write, and jump there. */
static void try_to_execute_data(void)
{
    static uint32_t code_in_data[4];
    uint32_t code_on_stack[4];
    uint32_t *places[] = {code_in_data, code_on_stack, (uint32_t *)ipc_buffer(),
                          (uint32_t *)&report->reserved};
    for (word i = 0; i < sizeof places / sizeof places[0]; i++) {
        *(volatile uint32_t *)places[i] = 0x00008067; /* ret */
        __asm__ volatile(".word 0x0000100f" ::: "memory"); /* fence.i */
        try_to_execute(DATA_EXECUTE, (word)places[i]);
    }
}

/* Into the middle of instructions, off their border, over the end of a page. */
static void try_odd_jumps(void)
{
    try_to_execute(ODD_JUMP, (word)illegal_in_the_middle + 2);
    try_to_execute(ODD_JUMP, (word)first_half);
    try_to_execute(ODD_JUMP, (word)child_data);
    try_to_execute(ODD_JUMP, (word)child_data + 2);
    /* These two are harmless returns: bit 0 does not count, and code is code. */
    word harmless[] = {(word)return_in_the_middle + 2, (word)return_in_the_middle + 3};
    for (word i = 0; i < 2; i++) {
        word faults = begin(ODD_JUMP);
        call_probe(jump_to, harmless[i], 0);
        expect_no_effect(ODD_JUMP, faulted_since(faults), 1, harmless[i]);
    }
}

/* --- privileged instructions and CSRs --- */

static void try_privileged_instructions(void)
{
    for (const char *code = privileged_probes; code < privileged_probes_end; code += 8) {
        word faults = begin(PRIVILEGED);
        call_probe(code, 0, 0);
        expect_fault(PRIVILEGED, faults, *(const uint32_t *)code, 0);
    }
}

static bool is_fp_csr(word csr)
{
    return csr >= 1 && csr <= 3;
}

static bool is_counter(word csr)
{
    return csr >= 0xc00 && csr <= 0xc1f;
}

/* Clocks and counters: a machine may let everybody read them. */
static void try_counter(word csr)
{
    word faults = begin(COUNTER);
    call_probe(csr_read_probes + 8 * csr, 0, 0);
    if (faulted_since(faults)) {
        report->tally[COUNTER].faults++;
    } else {
        report->tally[COUNTER].allowed++;
    }
}

static void try_csr(enum category category, const char *probes, word csr)
{
    word faults = begin(category);
    call_probe(probes + 8 * csr, 0, 0);
    if (is_fp_csr(csr) && !faulted_since(faults)) {
        report->tally[category].allowed++;
    } else {
        expect_fault(category, faults, 0, csr);
    }
}

static void try_all_csrs(void)
{
    for (word csr = 0; csr < 4096; csr++) {
        if (is_counter(csr)) {
            try_counter(csr);
        } else {
            try_csr(CSR_READ, csr_read_probes, csr);
        }
        try_csr(CSR_WRITE, csr_write_probes, csr);
    }
}

/* --- system calls --- */

enum { RA = 1, SP = 2, T0 = 5, A0 = 10, A1, A2, A3, A4, A5, A6, A7, REGISTERS = 32 };

static word registers[2 * REGISTERS];

/* A system call with a known value in every register. */
static void make_system_call(word number, cptr cap, word info)
{
    for (word i = 0; i < REGISTERS; i++) {
        registers[i] = 0xabc0000 + i;
    }
    registers[A0] = cap;
    registers[A1] = info;
    registers[A6] = cap;
    registers[T0] = cap;
    registers[A7] = number;
    system_call(registers);
}

/* Did a register other than `first_out` to a5 come back with another value? */
static bool registers_changed(word first_out)
{
    for (word i = 1; i < REGISTERS; i++) {
        bool is_output = i == SP || (i >= first_out && i <= A5);
        if (!is_output && registers[REGISTERS + i] != registers[i]) {
            return true;
        }
    }
    return false;
}

static bool is_call(word number)
{
    return number == (word)SYS_CALL;
}

static bool is_send(word number)
{
    return number == (word)SYS_SEND || number == (word)SYS_NB_SEND;
}

static void judge_system_call(word faults, word number, cptr cap)
{
    struct tally *tally = &report->tally[SYSTEM_CALL];
    bool may_send = cap == OWN_CAP && (is_call(number) || is_send(number));
    bool answered = is_call(number) && !faulted_since(faults);
    if (registers_changed(answered ? A0 : REGISTERS)) {
        way_in(SYSTEM_CALL, number, cap);
    } else if (faulted_since(faults)) {
        tally->faults++;
    } else if (may_send || number == (word)SYS_YIELD) {
        tally->allowed++;
    } else if (answered && info_label(registers[REGISTERS + A1]) == INVALID_CAPABILITY) {
        tally->no_effect++;
    } else {
        expect_no_effect(SYSTEM_CALL, !is_send(number), number, cap);
    }
}

/* A debugging kernel halts, names threads and prints for everybody; it is no use to attack that. */
static bool is_debug_call(word number)
{
    return number <= (word)SYS_DEBUG_PUT_CHAR && number >= (word)SYS_DEBUG_NAME_THREAD;
}

static void try_system_call(word number)
{
    static const cptr caps[] = {0, OWN_CAP, 2, 1000, ~(cptr)0};
    for (word i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        /* A call without the right to get a reply stops us, so the parent must start us again. */
        word label = is_call(number) ? LABEL_CALLED : LABEL_SENT;
        word faults = begin(SYSTEM_CALL);
        make_system_call(number, caps[i], message_info(label, 0, 4));
        judge_system_call(faults, number, caps[i]);
    }
}

/* The numbers around 0, the same with only the lower 32 bits alike, and those with which a kernel
 * asks the firmware for something. */
static void try_system_calls(void)
{
    for (word number = -(word)128; number != 128; number++) {
        if (!is_debug_call(number)) {
            try_system_call(number);
        }
    }
    for (word n = 1; n <= 20; n++) {
        try_system_call(((word)1 << 32) - n);
        try_system_call(((word)1 << 63) - n);
        try_system_call(((word)1 << 63) | n);
    }
    static const word firmware[] = {0x54494d45, 0x735049,   0x52464e43,
                                    0x48534d,   0x53525354, 0x504d55};
    for (word i = 0; i < sizeof firmware / sizeof firmware[0]; i++) {
        try_system_call(firmware[i]);
    }
}

/* --- capabilities --- */

/* Call what may lie at `cap`, with arguments that would mean something. */
static void try_cap(cptr cap, word label)
{
    ipc_buffer()->caps_or_badges[0] = OWN_CAP;
    ipc_buffer()->msg[4] = 1;
    ipc_buffer()->msg[5] = 1;
    word faults = begin(CAP_ADDRESS);
    struct message m = {.info = message_info(label, 1, 6), .mr = {1, 1, 1, 64}};
    m = seL4_Call(cap, m);
    if (faulted_since(faults)) {
        report->tally[CAP_ADDRESS].faults++;
    } else {
        expect_no_effect(CAP_ADDRESS, info_label(m.info) == NO_ERROR, label, cap);
    }
}

static void try_caps(void)
{
    for (word label = 0; label < LABELS; label++) {
        for (cptr cap = 0; cap < CAP_ADDRESSES; cap++) {
            if (cap != OWN_CAP) {
                try_cap(cap, label);
            }
        }
        for (word bit = 5; bit < WORD_BITS; bit++) {
            try_cap((cptr)1 << bit | OWN_CAP, label);
        }
    }
}

static void try_reply(long number, cptr source, cptr reply)
{
    word faults = begin(REPLY_UNASKED);
    trap2(number, source, (struct message){.info = message_info(0, 0, 4)}, reply);
    expect_fault(REPLY_UNASKED, faults, (word)number, reply);
}

/* Answer somebody, though nobody has called us. */
static void try_replies(void)
{
    for (cptr reply = 0; reply < CAP_ADDRESSES; reply++) {
        for (cptr source = 0; source <= 2; source++) {
            try_reply(SYS_REPLY_RECV, source, reply);
            try_reply(SYS_RECV, source, reply);
            try_reply(SYS_NB_RECV, source, reply);
        }
    }
}

/* Messages through our own cap that look like more than they are: faults, caps, unwrapped caps,
 * more words than there are. The parent checks what arrives. */
static void try_message(word info)
{
    for (word i = 0; i < MAX_EXTRA_CAPS; i++) {
        ipc_buffer()->caps_or_badges[i] = OWN_CAP;
    }
    begin(MESSAGE_FORGERY);
    seL4_Send(OWN_CAP, (struct message){.info = info, .mr = {MARK, MARK, MARK, MARK}});
    expect_no_effect(MESSAGE_FORGERY, false, 0, info);
}

static void try_messages(void)
{
    for (word label = 0; label <= FAULT_VM; label++) {
        for (word caps = 0; caps <= MAX_EXTRA_CAPS; caps++) {
            try_message(message_info(label, caps, 4));
            try_message(message_info(label, caps, MAX_MESSAGE_LENGTH));
            try_message(message_info(label, caps, 127) | 7 << 9);
        }
    }
    try_message(~(word)0);
}

/* --- the machine's state --- */

static void try_fp_state(void)
{
    static word values[32];
    for (word i = 0; i < 32; i++) {
        values[i] = 0xabc0000 + i;
    }
    word fcsr = 0x65; /* a rounding mode and two flags */
    begin(FP_STATE);
    expect_no_effect(FP_STATE, fp_exchange(values, fcsr) != fcsr, 32, 0);
    for (word i = 0; i < 32; i++) {
        begin(FP_STATE);
        expect_no_effect(FP_STATE, values[i] != 0xabc0000 + i, i, 0);
    }
}

/* The parent changes `reserved` while we hold a reservation on it; a store afterwards would undo
 * what it did. */
static void try_reservations(void)
{
    for (word i = 0; i < 8; i++) {
        begin(RESERVATION);
        bool stored = !reserve_across_fault(&report->reserved, MARK);
        expect_no_effect(RESERVATION, stored, 0, (word)&report->reserved);
        begin(RESERVATION);
        stored = !reserve_across_send(&report->reserved, MARK, OWN_CAP,
                                      message_info(LABEL_SENT, 0, 0));
        expect_no_effect(RESERVATION, stored, 1, (word)&report->reserved);
    }
}

static void copy_words(word *to, const word *from, word count)
{
    for (word i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

void attacker_main(struct report *shared)
{
    report = shared;
    copy_words(report->first_registers, first_registers, 31);
    copy_words(report->first_fp, first_fp, 33);
    try_known_places();
    try_powers_of_two();
    try_to_change_code();
    try_to_execute_data();
    try_odd_jumps();
    try_privileged_instructions();
    try_all_csrs();
    try_system_calls();
    try_caps();
    try_replies();
    try_messages();
    try_fp_state();
    try_reservations();
    for (;;) {
        seL4_Send(OWN_CAP, (struct message){.info = message_info(LABEL_DONE, 0, 0)});
    }
}
