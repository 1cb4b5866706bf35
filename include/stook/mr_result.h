/* SPDX-License-Identifier: MIT
 *
 * The pairs that a job has given.
 *
 * Threads: a result belongs to one thread at a time. Blocks: never, but for the reading of what the
 * job has left in files because of its memory limit, and for writing.
 */
#ifndef STOOK_MR_RESULT_H
#define STOOK_MR_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/mr_bytes.h>
#include <stook/mr_input.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

struct mr_error;

/* The number of pairs in a result. */
STOOK_API uint64_t mr_result_count(const mr_result *result);

/* Gives the next pair, in the job's order, valid until the next call on the result, its value
 * aligned as uint64_t is; false at the end, and where a file cannot be read: mr_result_status()
 * tells which. */
STOOK_API bool mr_result_next(mr_result *result, struct mr_pair *ret_pair);

/* STOOK_OK, or STOOK_IO or STOOK_NOMEM: not all pairs could be read. ret_error may be NULL. */
STOOK_API enum stook_status mr_result_status(const mr_result *result, struct mr_error *ret_error);

/* Starts again at the first pair. */
STOOK_API void mr_result_rewind(mr_result *result);

/* Frees the result and all pairs. NULL is allowed. */
STOOK_API void mr_result_destroy(mr_result *result);

/* --- writing it ------------------------------------------------------------------------------- */

enum mr_format {
    MR_FORMAT_BYTES = 0, /* as they are */
    MR_FORMAT_U64,       /* uint64_t, decimal */
    MR_FORMAT_F64        /* double: "inf", "-inf", "nan", or printf's %.Ng with the least N that
                            gives it back, and a point whatever the locale */
};

/* Writes the pairs that are left to a descriptor: KEY<TAB>VALUE<newline> each, bytes as they are.
 * Tasks of the executor make the lines, as far as pairs are in memory; NULL: the caller does.
 * On failure an unknown part has been written; mr_result_rewind() comes before another attempt.
 * Returns: STOOK_OK; STOOK_IO (also a pipe that nobody reads, if the program ignores SIGPIPE);
 * STOOK_NOMEM; STOOK_INVALID (a value is no number of 8 bytes); as stook_stream_next(). ret_error (may be NULL) is filled
 * on failure. Blocks: until all is written, also where the descriptor does not. */
STOOK_API STOOK_NODISCARD enum stook_status mr_result_write(stook_executor *executor,
                                                            mr_result *result, int descriptor,
                                                            enum mr_format value_format,
                                                            struct mr_error *ret_error);

/* The text of a pair, which a function puts together. */
typedef struct mr_text mr_text;

/* Puts bytes behind those that are there. False: writing has failed, and goes no further. For the
 * function that was given `text` only. */
STOOK_API bool mr_text_put(mr_text *text, struct mr_slice bytes);

/* Puts the text of a pair. Returns 0; anything else fails with STOOK_TASK_FAILED, unless
 * mr_text_put() has. Called in tasks, for several pairs at a time; or by the caller. */
typedef int mr_text_fn(const struct mr_pair *pair, mr_text *text, void *user);

/* As mr_result_write(), with texts of any form. Returns also: STOOK_TASK_FAILED. */
STOOK_API STOOK_NODISCARD enum stook_status mr_result_write_text(stook_executor *executor,
                                                                 mr_result *result, int descriptor,
                                                                 mr_text_fn *fn, void *user,
                                                                 struct mr_error *ret_error);

/* Writes all pairs, from the first, in the same form into `parts` (at least 1) files,
 * directory/part-00000 and so on, in order one after the other, about as many into each. Each is
 * written under another name, synchronised, and renamed when it is whole, and directory/_SUCCESS
 * comes last: who finds that finds all. The directory is made if it is not there (its parents are
 * not); a _SUCCESS or a part in it is an error (STOOK_IO, EEXIST). On failure nothing that was
 * written is left. Returns and fills as mr_result_write(). */
STOOK_API STOOK_NODISCARD enum stook_status
mr_result_write_parts(mr_result *result, const char *directory, uint32_t parts,
                      enum mr_format value_format, struct mr_error *ret_error);

STOOK_END_DECLS

#endif
