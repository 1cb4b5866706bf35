/* SPDX-License-Identifier: MIT
 *
 * The number of workers that the options leave open: the environment, else the CPUs.
 */
#include "sizing.h"
#include <stdlib.h>
#include "platform.h"
#include "report.h"

static const char variable[] = "STOOK_WORKERS";

/* 0: not a number from 1 to STOOK_MAX_WORKERS in decimal digits. */
static unsigned parse_workers(const char *text)
{
    unsigned workers = 0;

    for (; *text; text++) {
        if (*text < '0' || *text > '9') {
            return 0;
        }
        workers = workers * 10 + (unsigned)(*text - '0');
        if (workers > STOOK_MAX_WORKERS) {
            return 0;
        }
    }
    return workers;
}

unsigned stook__sizing_workers(const struct stook_executor_options *options)
{
    /* Safe unless the program changes its environment at the same time: that nobody survives. */
    const char *text = getenv(variable); /* NOLINT(concurrency-mt-unsafe) */
    if (text) {
        unsigned workers = parse_workers(text);
        if (workers == 0) {
            stook__report(options, "%s=%.40s is not a number from 1 to %d", variable, text,
                          STOOK_MAX_WORKERS);
        }
        return workers;
    }
    unsigned cpus = stook__platform_cpu_count();
    return cpus < STOOK_MAX_WORKERS ? cpus : STOOK_MAX_WORKERS;
}
