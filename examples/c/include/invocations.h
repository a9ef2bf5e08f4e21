/* Methods of kernel objects: a Call on the object's cap, whose label says which method.
 *
 * Names and order of arguments are the manual's. Each returns NO_ERROR or an error of abi.h.
 * A slot is named by three words: a CNode, an index, and how many bits of the index count (depth).
 */
#pragma once

#include "syscalls.h"

word seL4_Untyped_Retype(cptr untyped, word type, word size_bits, cptr root, word node_index,
                         word node_depth, word first_slot, word object_count);

word seL4_CNode_Copy(cptr to, word to_index, word to_depth, cptr from, word from_index,
                     word from_depth, word rights);
word seL4_CNode_Mint(cptr to, word to_index, word to_depth, cptr from, word from_index,
                     word from_depth, word rights, word badge);
word seL4_CNode_Delete(cptr cnode, word index, word depth);
word seL4_CNode_Revoke(cptr cnode, word index, word depth);

word seL4_TCB_Configure(cptr tcb, cptr cspace, word cspace_data, cptr vspace, word vspace_data,
                        word buffer, cptr buffer_frame);
word seL4_TCB_SetSchedParams(cptr tcb, cptr authority, word max_priority, word priority,
                             cptr sched_context, cptr fault_endpoint);
/* The first `count` registers; the thread runs on. */
word seL4_TCB_ReadRegisters(cptr tcb, word count, struct registers *registers);
word seL4_TCB_WriteRegisters(cptr tcb, bool resume, word count,
                             const struct registers *registers);
word seL4_TCB_Suspend(cptr tcb);
word seL4_TCB_Resume(cptr tcb);

/* Budget and period in microseconds; equal ones mean round robin. */
word seL4_SchedControl_ConfigureFlags(cptr control, cptr sched_context, word budget, word period,
                                      word extra_refills, word badge, word flags);
word seL4_SchedContext_Unbind(cptr sched_context);

word seL4_ASIDPool_Assign(cptr pool, cptr vspace);
word seL4_PageTable_Map(cptr table, cptr vspace, word vaddr, word attributes);
/* On FAILED_LOOKUP a page table is missing at `vaddr`. */
word seL4_Page_Map(cptr frame, cptr vspace, word vaddr, word rights, word attributes);
word seL4_Page_Unmap(cptr frame);

word seL4_IRQControl_Get(cptr control, word irq, cptr root, word index, word depth);
word seL4_IRQHandler_Ack(cptr handler);
word seL4_IRQHandler_SetNotification(cptr handler, cptr notification);
