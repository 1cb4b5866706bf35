/* SPDX-License-Identifier: MIT
 *
 * Names and sentences of statuses, from the table in status.h.
 */
#include <stook/status.h>

const char *stook_status_name(enum stook_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, sentence)                                                         \
    case name:                                                                                     \
        return #name;
        STOOK_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "STOOK_UNKNOWN";
}

const char *stook_status_string(enum stook_status status)
{
    switch (status) {
#define STATUS_SENTENCE(name, value, sentence)                                                     \
    case name:                                                                                     \
        return sentence;
        STOOK_STATUS_LIST(STATUS_SENTENCE)
#undef STATUS_SENTENCE
    }
    return "unknown status";
}
