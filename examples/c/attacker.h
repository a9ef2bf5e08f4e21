/* What the attacker and the parent that watches it share. The attacker writes down what it tries;
 * the parent counts the faults itself, in memory that the attacker cannot reach.
 */
#pragma once

#include "abi.h"

enum category {
    FOREIGN_READ,
    FOREIGN_WRITE,
    FOREIGN_EXECUTE,
    OWN_CODE_WRITE,
    DATA_EXECUTE,
    ODD_JUMP,
    PRIVILEGED,
    CSR_READ,
    CSR_WRITE,
    COUNTER,
    SYSTEM_CALL,
    CAP_ADDRESS,
    REPLY_UNASKED,
    MESSAGE_FORGERY,
    FP_STATE,
    RESERVATION,
    CATEGORIES,
};

/* Every attempt ends in exactly one of four ways. */
struct tally {
    word attempts;
    word faults;    /* refused with a fault (as the attacker saw it) */
    word no_effect; /* refused with an error, or without any effect */
    word allowed;   /* it is allowed to do this */
};

/* An attempt that gave it something it should not have. */
struct way_in {
    word category;
    word operation;
    word address;
};

enum { MAX_WAYS_IN = 64 };

/* One page, mapped for both. */
struct report {
    volatile word category;     /* of the attempt under way */
    volatile word faults;       /* the parent counts up before it lets the attacker go on */
    volatile word reserved;     /* a word that the parent changes at every fault and message */
    struct tally tally[CATEGORIES];
    word way_in_count;
    struct way_in ways_in[MAX_WAYS_IN];
    word first_registers[31];   /* x1 to x31 at its first instruction */
    word first_fp[33];          /* f0 to f31 and fcsr at its first instruction */
};

/* Badge of its endpoint cap, and labels of messages that it sends through that. */
enum { ATTACKER_BADGE = 0xbad, ATTACKER_FAULT_BADGE = 0xfa };
enum { LABEL_SENT = 0x100, LABEL_CALLED = 0x101, LABEL_DONE = 0x102 };

/* Operations, as numbers in a `way_in`. */
enum { LOADS = 9, STORES = 10 };

/* The attacker's first instruction, with the address of the report in a0. */
void attacker_start(word report, word b, word c);
