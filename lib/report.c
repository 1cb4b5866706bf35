/* SPDX-License-Identifier: MIT
 *
 * Reports go to the user's function, or to standard error.
 */
#include "report.h"
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_BYTES = 2048 };

void stook__report(const struct stook_executor_options *options, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (options->report) {
        options->report(options->report_data, text);
    } else {
        fprintf(stderr, "stook: %s\n", text);
    }
}
