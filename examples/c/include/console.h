/* The console: the debugging kernel's DebugPutChar, one character a system call. */
#pragma once

#include "abi.h"

/* %s text, %u unsigned decimal, %x hexadecimal with 0x, %% a percent sign; all numbers are words.
 * A width pads with spaces: `%6u` on the left, `%-20s` on the right. */
void print(const char *format, ...);

const char *error_name(word error);
