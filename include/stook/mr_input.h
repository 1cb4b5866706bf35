/* SPDX-License-Identifier: MIT
 *
 * What a job maps over: an array, texts (files, pipes, bytes in memory), whatever a callback gives,
 * or the result of another job. Make one with a function below, then change a field if need be.
 *
 * All that an input points to is the caller's, and must live and stay unchanged until the job has
 * ended. Inputs are never written to.
 *
 * Threads: any. Blocks: never, but for mr_tree_open().
 */
#ifndef STOOK_MR_INPUT_H
#define STOOK_MR_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/mr_bytes.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

/* A text. Files that are no regular ones (pipes, terminals, /proc), and compressed ones, are read
 * once, from begin to end, while others map what has been read: so with any of them the total of
 * the progress is what has been read so far. */
struct mr_source {
    const char *path;     /* NULL: text, or descriptor */
    struct mr_slice text; /* bytes in memory; used if path is NULL and descriptor is 0 */
    int descriptor;       /* if not 0 and path NULL: open for reading; read from where it stands to
                             its end, and left open. Standard input: the path "/dev/stdin" */
};

/* How texts are cut into records. */
enum mr_records {
    MR_RECORDS_DELIMITED = 0, /* each of the bytes of `delimiters` ends a record */
    MR_RECORDS_FIXED,         /* records of record_size bytes; a rest is an error */
    MR_RECORDS_WHOLE,         /* each source is one record */
    MR_RECORDS_SPLITTER       /* as `splitter` says */
};

/* Tells where a record that begins at bytes.data ends: its size, with whatever ends it; 0: more
 * bytes are needed. is_last: there are no more; then 0 is an error. A source with a splitter is cut
 * by one task, from begin to end. */
typedef size_t mr_splitter_fn(struct mr_slice bytes, bool is_last, void *user);

/* Gives the next item, valid until the next call: the mapper gets a copy, aligned for any type.
 * Returns 1; 0: there are no more; negative: it failed, and so does the job, with that code. Called
 * by one thread at a time. */
typedef int mr_next_fn(struct mr_slice *ret_item, void *user);

typedef struct mr_result mr_result;

#define MR_CHUNK_AUTO SIZE_MAX

struct mr_input {
    const void *items; /* array: item_count items of item_size bytes, one after the other */
    size_t item_count;
    size_t item_size;
    const struct mr_source *sources; /* texts: mapped in any order; a record never spans two */
    size_t source_count;
    const char
        *delimiters;   /* MR_RECORDS_DELIMITED: bytes, of which each ends a record (never NUL) */
    bool whole_splits; /* call the mapper once for as many records as are at hand, with all
                               that ends them, instead of once for each record without its end */
    size_t chunk;      /* one task maps so many items, or about so many bytes; at least 1. The
                               result does not depend on it. MR_CHUNK_AUTO: chosen for the input */
    enum mr_records records;
    size_t record_size;
    mr_splitter_fn *splitter;
    mr_next_fn *next;     /* if not NULL: items are what it gives */
    void *next_user;      /* for next and splitter */
    mr_result *result;    /* if not NULL: items are its pairs; see mr_item.value */
    bool map_files;       /* regular files are mapped into memory, not read: resident memory counts
                               them, and the process gets a signal if one shrinks meanwhile */
    bool keep_compressed; /* gzip and zstd are read as they are, not decompressed */
};

/* count items of item_size bytes. */
STOOK_API struct mr_input mr_input_array(const void *items, size_t count, size_t item_size);

/* Lines of texts: delimiters "\n". A "\r" before it is part of the record. */
STOOK_API struct mr_input mr_input_text(const struct mr_source *sources, size_t count);

/* Records of a fixed size. What may begin as gzip or zstd does by chance wants keep_compressed. */
STOOK_API struct mr_input mr_input_fixed(const struct mr_source *sources, size_t count,
                                         size_t record_size);

/* Each source is one item. */
STOOK_API struct mr_input mr_input_whole(const struct mr_source *sources, size_t count);

/* What next gives, called with user. */
STOOK_API struct mr_input mr_input_iterator(mr_next_fn *next, void *user);

/* The pairs of another job's result, which is read in place, from its first one, and belongs to
 * this job alone until it has ended. */
STOOK_API struct mr_input mr_input_result(mr_result *result);

/* What one call of a mapper gets. */
struct mr_item {
    struct mr_slice data; /* the array's item, in place; the record, valid during the call. A record
                              that starts in a split belongs to it, however long it is. Another
                              job's result: the pair's key */
    uint64_t index;       /* array, iterator, result: the item's number; text: offset of data in its
                              source, bytes (compressed: behind decompression) */
    size_t source;        /* text: index into sources; else 0 */
    struct mr_slice value; /* another job's result: the pair's value; else empty */
};

/* --- directories ------------------------------------------------------------------------------ */

typedef struct mr_tree mr_tree; /* the regular files below some paths */

/* Walks each path that is a directory, in byte order of the names, not following symbolic links
 * below it; what is no directory is taken as it is, unseen. ret_tree is to be closed by the caller.
 * Returns: STOOK_OK; STOOK_NOMEM; STOOK_IO: a directory cannot be read, and message (may be NULL;
 * size bytes) says which and why. Blocks: for the directories. */
STOOK_API STOOK_NODISCARD enum stook_status mr_tree_open(const char *const *paths, size_t count,
                                                         mr_tree **ret_tree, char *message,
                                                         size_t size);

/* Its files, in order; they belong to the tree. */
STOOK_API const struct mr_source *mr_tree_sources(const mr_tree *tree, size_t *ret_count);

/* NULL is allowed. */
STOOK_API void mr_tree_close(mr_tree *tree);

STOOK_END_DECLS

#endif
