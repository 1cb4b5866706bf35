/* SPDX-License-Identifier: MIT
 *
 * What is told to people, because no status can say it.
 */
#ifndef STOOK_REPORT_H
#define STOOK_REPORT_H

#include <stook/executor.h>

/* Gives a formatted text, cut after a few hundred bytes, to the `report` of the options; to
 * standard error, with "stook: " before it, if that is NULL. Call it with no lock held. */
#if defined __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
void stook__report(const struct stook_executor_options *options, const char *format, ...);

#endif
