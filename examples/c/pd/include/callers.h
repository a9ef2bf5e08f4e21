/* Beyond Microkit's interface: callers who wait while the domain serves others.
 *
 * The next caller needs a reply object of his own, one that the description grants the domain.
 */
#pragma once

#include "microkit.h"

/* In `protected`: keep the caller waiting; what `protected` returns is not sent. The next caller will
 * be held by `spare`. Returns the reply object that holds this one, for `pd_answer`.
 */
cptr pd_hold_caller(cptr spare);

/* Answer a caller that was kept waiting, with the words set by `microkit_mr_set`. His reply object is
 * spare again.
 */
void pd_answer(cptr held, microkit_msginfo answer);
