/* SPDX-License-Identifier: MIT
 *
 * Options are checked once, before anything is made of them.
 */
#include "options.h"
#include <inttypes.h>
#include "platform.h"
#include "report.h"
#include "sizing.h"

enum { DEFAULT_EXTRA_THREADS = 512 };
static const int64_t default_keep_alive_ns = 1000000000;

static bool is_at_most(const struct stook_executor_options *options, const char *name,
                       unsigned value, unsigned most)
{
    if (value > most) {
        stook__report(options, "the option %s is %u, but at most %u is allowed", name, value, most);
    }
    return value <= most;
}

static bool are_in_range(const struct stook_executor_options *options)
{
    if (!is_at_most(options, "workers", options->workers, STOOK_MAX_WORKERS) ||
        !is_at_most(options, "max_workers", options->max_workers, STOOK_MAX_WORKERS) ||
        !is_at_most(options, "max_extra_threads", options->max_extra_threads,
                    STOOK_MAX_EXTRA_THREADS)) {
        return false;
    }
    if (options->max_workers > 0 && options->workers > options->max_workers) {
        stook__report(options, "the option workers is %u, more than max_workers, which is %u",
                      options->workers, options->max_workers);
        return false;
    }
    if (options->keep_alive_ns < 0) {
        stook__report(options, "the option keep_alive_ns is %" PRId64 ", but must not be negative",
                      options->keep_alive_ns);
        return false;
    }
    if (options->stack_size > 0 && !stook__platform_is_stack_size(options->stack_size)) {
        stook__report(options, "the option stack_size is %zu, which the system refuses",
                      options->stack_size);
        return false;
    }
    if (options->allocator && (!options->allocator->allocate || !options->allocator->deallocate)) {
        stook__report(options, "the option allocator lacks a function");
        return false;
    }
    return true;
}

bool stook__options_resolve(const struct stook_executor_options *given,
                            struct stook_executor_options *ret_options)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    if (given && given->struct_size != sizeof options) {
        return false;
    }
    options = given ? *given : options;
    if (!are_in_range(&options)) {
        return false;
    }
    if (options.workers == 0) {
        unsigned most = options.max_workers ? options.max_workers : STOOK_MAX_WORKERS;
        unsigned workers = stook__sizing_workers(&options);
        if (workers == 0) {
            return false;
        }
        options.workers = workers < most ? workers : most;
    }
    if (options.max_workers == 0) {
        options.max_workers = options.workers;
    }
    if (options.max_extra_threads == 0) {
        options.max_extra_threads = DEFAULT_EXTRA_THREADS;
    }
    if (options.keep_alive_ns == 0) {
        options.keep_alive_ns = default_keep_alive_ns;
    }
    *ret_options = options;
    return true;
}
