/* Printing, by DebugPutChar. */
#include "console.h"

#include <stdarg.h>

#include "syscalls.h"

static word text_length(const char *text)
{
    word n = 0;
    while (text[n]) {
        n++;
    }
    return n;
}

static void put_text(const char *text)
{
    while (*text) {
        seL4_DebugPutChar(*text++);
    }
}

static void put_padded(const char *text, word width, bool pad_right)
{
    word length = text_length(text);
    word spaces = width > length ? width - length : 0;
    if (pad_right) {
        put_text(text);
    }
    for (; spaces; spaces--) {
        seL4_DebugPutChar(' ');
    }
    if (!pad_right) {
        put_text(text);
    }
}

/* Write `value` so that it ends just before `end`, and return where it starts. */
static char *number_before(char *end, word value, word base)
{
    do {
        *--end = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    return end;
}

static const char *number_text(char kind, word value, char buffer[24])
{
    buffer[23] = 0;
    if (kind != 'x') {
        return number_before(buffer + 23, value, 10);
    }
    char *text = number_before(buffer + 23, value, 16);
    *--text = 'x';
    *--text = '0';
    return text;
}

static const char *read_width(const char *format, word *width, bool *pad_right)
{
    *pad_right = *format == '-';
    format += *pad_right;
    *width = 0;
    for (; *format >= '0' && *format <= '9'; format++) {
        *width = *width * 10 + (word)(*format - '0');
    }
    return format;
}

void print(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    for (; *format; format++) {
        if (*format != '%') {
            seL4_DebugPutChar(*format);
            continue;
        }
        char buffer[24];
        word width;
        bool pad_right;
        format = read_width(format + 1, &width, &pad_right);
        if (*format == '%') {
            seL4_DebugPutChar('%');
        } else if (*format == 's') {
            put_padded(va_arg(values, const char *), width, pad_right);
        } else {
            put_padded(number_text(*format, va_arg(values, word), buffer), width, pad_right);
        }
    }
    va_end(values);
}

const char *error_name(word error)
{
    static const char *const names[] = {
        "NoError",         "InvalidArgument", "InvalidCapability", "IllegalOperation",
        "RangeError",      "AlignmentError",  "FailedLookup",      "TruncatedMessage",
        "DeleteFirst",     "RevokeFirst",     "NotEnoughMemory",
    };
    return error < sizeof names / sizeof names[0] ? names[error] : "(not an error)";
}
