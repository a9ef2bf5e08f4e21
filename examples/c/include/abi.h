/* The words that a program and the kernel share: seL4, MCS configuration, RISC-V 64.
 *
 * Nothing here does anything; it is all numbers and layouts. A word is 64 bits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t word;
typedef word cptr; /* the address of a capability in the caller's CSpace */

/* System calls: the number goes into register a7. */
enum {
    SYS_CALL = -1,
    SYS_REPLY_RECV = -2,
    SYS_NB_SEND_RECV = -3,
    SYS_NB_SEND_WAIT = -4,
    SYS_SEND = -5,
    SYS_NB_SEND = -6,
    SYS_RECV = -7,
    SYS_NB_RECV = -8,
    SYS_WAIT = -9,
    SYS_NB_WAIT = -10,
    SYS_YIELD = -11,
    /* only in a kernel that is built for debugging */
    SYS_DEBUG_PUT_CHAR = -12,
    SYS_DEBUG_DUMP_SCHEDULER = -13,
    SYS_DEBUG_HALT = -14,
    SYS_DEBUG_CAP_IDENTIFY = -15,
    SYS_DEBUG_SNAPSHOT = -16,
    SYS_DEBUG_NAME_THREAD = -17,
};

/* What an invocation answers, as the label of the kernel's reply. */
enum {
    NO_ERROR,
    INVALID_ARGUMENT,
    INVALID_CAPABILITY,
    ILLEGAL_OPERATION,
    RANGE_ERROR,
    ALIGNMENT_ERROR,
    FAILED_LOOKUP,
    TRUNCATED_MESSAGE,
    DELETE_FIRST,
    REVOKE_FIRST,
    NOT_ENOUGH_MEMORY,
};

/* Invocation labels: which method of the object behind a cap is meant (those that we use). */
enum {
    UNTYPED_RETYPE = 1,
    TCB_READ_REGISTERS = 2,
    TCB_WRITE_REGISTERS = 3,
    TCB_CONFIGURE = 5,
    TCB_SET_SCHED_PARAMS = 8,
    TCB_SUSPEND = 12,
    TCB_RESUME = 13,
    CNODE_REVOKE = 18,
    CNODE_DELETE = 19,
    CNODE_COPY = 21,
    CNODE_MINT = 22,
    IRQ_CONTROL_GET = 26,
    IRQ_HANDLER_ACK = 27,
    IRQ_HANDLER_SET_NOTIFICATION = 28,
    SCHED_CONTROL_CONFIGURE_FLAGS = 33,
    SCHED_CONTEXT_UNBIND = 35,
    PAGE_TABLE_MAP = 39,
    PAGE_MAP = 41,
    PAGE_UNMAP = 42,
    ASID_POOL_ASSIGN = 45,
};

/* Object types, for retype. */
enum {
    OBJECT_UNTYPED = 0,
    OBJECT_TCB = 1,
    OBJECT_ENDPOINT = 2,
    OBJECT_NOTIFICATION = 3,
    OBJECT_CNODE = 4,
    OBJECT_SCHED_CONTEXT = 5,
    OBJECT_REPLY = 6,
    OBJECT_PAGE = 8, /* 4 KiB */
    OBJECT_PAGE_TABLE = 10, /* also the root of an address space */
};

enum { PAGE_BITS = 12, PAGE_SIZE = 1 << PAGE_BITS };
enum { SCHED_CONTEXT_BITS = 7 }; /* the smallest: two refills */

/* Rights of a cap. */
enum {
    RIGHT_WRITE = 1, /* on an endpoint: send */
    RIGHT_READ = 2,  /* on an endpoint: receive */
    RIGHT_GRANT = 4, /* may send caps along */
    RIGHT_GRANT_REPLY = 8, /* may call, that is, send a right to reply along */
    ALL_RIGHTS = 15,
};

enum { EXECUTE_NEVER = 1 }; /* page attribute */

/* Slots that the kernel fills before it starts the root task. */
enum {
    ROOT_TCB = 1,
    ROOT_CNODE = 2,
    ROOT_VSPACE = 3,
    ROOT_IRQ_CONTROL = 4,
    ROOT_ASID_POOL = 6,
};

enum { WORD_BITS = 64, ROOT_CNODE_DEPTH = WORD_BITS };

/* Faults: the label of the message that a fault handler receives. */
enum {
    FAULT_CAP = 1,
    FAULT_UNKNOWN_SYSCALL = 2,
    FAULT_USER_EXCEPTION = 3,
    FAULT_TIMEOUT = 5,
    FAULT_VM = 6,
};

/* Kinds of access in a VM fault (message register 3). */
enum { ACCESS_EXECUTE = 1, ACCESS_READ = 5, ACCESS_WRITE = 7 };

/* The message info word: length, number of caps, caps unwrapped, label. */
enum { MAX_MESSAGE_LENGTH = 120, MAX_EXTRA_CAPS = 3 };

static inline word message_info(word label, word extra_caps, word length)
{
    return label << 12 | extra_caps << 7 | length;
}

static inline word info_label(word info)
{
    return info >> 12;
}

static inline word info_caps_unwrapped(word info)
{
    return info >> 9 & 7;
}

static inline word info_extra_caps(word info)
{
    return info >> 7 & 3;
}

static inline word info_length(word info)
{
    return info & 127;
}

/* Memory that sender and receiver see as part of every message beyond four words. */
struct ipc_buffer {
    word tag;
    word msg[MAX_MESSAGE_LENGTH]; /* the first four travel in registers instead */
    word user_data;
    word caps_or_badges[MAX_EXTRA_CAPS]; /* out: caps to send; in: badges of unwrapped caps */
    cptr receive_cnode; /* these three name the slot where a cap may arrive */
    word receive_index;
    word receive_depth;
};

enum { IPC_BUFFER_SIZE = 1024 };

/* From `start` up to, but without, `end`. */
struct slot_region {
    cptr start;
    cptr end;
};

struct untyped_description {
    word paddr;
    uint8_t size_bits;
    uint8_t is_device;
    uint8_t padding[6];
};

enum { MAX_BOOT_UNTYPEDS = 230 };

/* What the kernel tells the root task about its caps. */
struct boot_info {
    word extra_length;
    word node_id;
    word node_count;
    word io_page_table_levels;
    word ipc_buffer; /* at offset 32: start.S reads it */
    struct slot_region empty;
    struct slot_region shared_frames;
    struct slot_region user_image_frames;
    struct slot_region user_image_paging;
    struct slot_region io_space_caps;
    struct slot_region extra_pages;
    word cnode_size_bits;
    word domain;
    struct slot_region sched_control;
    struct slot_region untyped;
    struct untyped_description untyped_list[MAX_BOOT_UNTYPEDS];
};

/* A thread's registers, in the order in which the kernel reads and writes them. */
struct registers {
    word pc, ra, sp, gp;
    word s[12];
    word a[8];
    word t[7];
    word tp;
};

enum { REGISTER_COUNT = sizeof(struct registers) / sizeof(word) };

_Static_assert(sizeof(struct ipc_buffer) == IPC_BUFFER_SIZE, "the kernel's layout");
_Static_assert(offsetof(struct ipc_buffer, receive_cnode) == 1000, "the kernel's layout");
_Static_assert(sizeof(struct boot_info) == 3864, "the kernel's layout");
_Static_assert(REGISTER_COUNT == 32, "the kernel's layout");
