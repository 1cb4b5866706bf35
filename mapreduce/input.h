/* SPDX-License-Identifier: MIT
 *
 * From the description of an input to calls of the mapper: the plan (input.c), sources (source.c),
 * records (records.c), places that are known (text.c), and what is read once, from begin to end
 * (stream.c, decode.c), while others map what has been read (feed.c).
 */
#ifndef MR_INTERNAL_INPUT_H
#define MR_INTERNAL_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include <threads.h>

struct mr__budget;
struct mr__control;

/* --- records (records.c) ---------------------------------------------------------------------- */

struct mr__cutter {
    const struct mr_input *input;
    bool is_one; /* one delimiter only: `only` */
    unsigned char only;
    bool contains[256]; /* delimiters */
};

/* Bytes of a source; `ends`: the source ends with them. */
struct mr__text {
    const unsigned char *data;
    size_t size;
    uint64_t offset; /* of data in the source */
    size_t source;
    bool ends;
};

void mr__cutter_init(struct mr__cutter *cutter, const struct mr_input *input);

/* The first delimiter in [at, end), or end. */
const unsigned char *mr__find_delimiter(const struct mr__cutter *cutter, const unsigned char *at,
                                        const unsigned char *end);

/* How many bytes of a text that begins with a record are whole records, delimited or fixed; `seen`
 * of them are known to hold no end. */
size_t mr__whole_records(const struct mr__cutter *cutter, const struct mr__text *text, size_t seen);

/* Maps the records that start in [begin, stop) of the text, the first of which starts at begin, and
 * counts the bytes of [from, stop) as done. False: stop. */
bool mr__map_records(const struct mr__cutter *cutter, const struct mr__text *text, size_t from,
                     size_t begin, size_t stop, mr_emitter *out);

/* Maps what the splitter finds from the begin of the text on; ret_used: how many bytes it is. */
bool mr__map_splitter(const struct mr__cutter *cutter, const struct mr__text *text,
                      size_t *ret_used, mr_emitter *out);

/* --- the plan (input.c) ----------------------------------------------------------------------- */

#define MR_SIZE_UNKNOWN UINT64_MAX

enum mr__way {
    MR_WAY_RANGE, /* items of an array or bytes of a source, begin to end */
    MR_WAY_READ,  /* a source, from begin to end; `end` may be MR_SIZE_UNKNOWN */
    MR_WAY_TAKE   /* what job.input.next or .result gives */
};

/* What a source is. */
struct mr__look {
    uint64_t size;  /* bytes; MR_SIZE_UNKNOWN: it is to be read from begin to end */
    bool may_block; /* no regular file */
};

struct mr__split {
    enum mr__way way;
    size_t source;
    uint64_t begin;
    uint64_t end;
    bool may_block; /* the source was no regular file when it was looked at */
};

struct mr__plan {
    struct mr__split *splits;
    size_t count;
    struct mr__look *looks; /* at the sources; NULL: there are none */
    uint64_t total;         /* items or bytes, as far as is known */
    size_t window;          /* what is read or taken at a time: bytes, or items */
    bool is_fed;            /* some splits are no ranges */
    bool may_block;         /* reading may wait for somebody who writes */
    struct mr__cutter cutter;
};

/* Checks the description. */
enum stook_status mr__job_check(const struct mr_job *job, struct mr_error *ret_error);

/* Looks at the sources and cuts the input, which must live as long, into splits for so many
 * workers. */
enum stook_status mr__plan_make(struct mr__plan *plan, const struct mr_input *input,
                                unsigned workers, struct mr_error *ret_error);
void mr__plan_fini(struct mr__plan *plan);

/* Maps all items or records of a range; stops when the emitter fails or the control is stopped. */
void mr__map_range(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out);
void mr__map_text(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out);

/* --- sources (source.c) ----------------------------------------------------------------------- */

#define MR_NO_OFFSET UINT64_MAX

/* Fills the error (NULL: nothing), returns status: `what` could not be done with the source; why:
 * the sentence of an errno in code, or text (may be NULL). */
enum stook_status mr__source_error(struct mr_error *error, enum stook_status status,
                                   const struct mr_source *source, size_t index, uint64_t offset,
                                   const char *what, int code, const char *text);

/* The emitter's phase fails with an error of its input. */
void mr__input_fail(mr_emitter *out, const struct mr_error *error);

/* What kind of source it is. Opens regular files only. */
enum stook_status mr__source_look(const struct mr_source *source, size_t index,
                                  bool keep_compressed, struct mr__look *ret_look,
                                  struct mr_error *ret_error);

/* Opens a regular file that must have `size` bytes; -1 with the error filled. */
int mr__source_open(const struct mr_source *source, size_t index, uint64_t size,
                    struct mr_error *ret_error);

/* Bytes of a source in place: in memory, or mapped. */
struct mr__view {
    const unsigned char *data;
    size_t size;
    void *map; /* NULL: the source's own memory */
    size_t map_size;
};

/* From offset `begin` to the end, at `size`. */
enum stook_status mr__view_open(struct mr__view *view, const struct mr_source *source, size_t index,
                                uint64_t begin, uint64_t size, struct mr_error *ret_error);
void mr__view_close(struct mr__view *view);

/* --- from begin to end (stream.c) ------------------------------------------------------------- */

struct mr__stream;

/* Opens a split's source for reading once: the bytes that it must have, which are read as they are;
 * or all there are. wake: readable when the control is stopped; -1: nobody can stop it. */
enum stook_status mr__stream_open(struct mr__stream **ret_stream, const struct mr_input *input,
                                  const struct mr__split *split, const struct mr__control *control,
                                  int wake, struct mr_error *error);

/* Reads, and decompresses, at least 1 and up to `size` bytes; 0: the end. Blocks. */
enum stook_status mr__stream_read(struct mr__stream *stream, unsigned char *to, size_t size,
                                  size_t *ret_got, struct mr_error *error);
void mr__stream_close(struct mr__stream *stream);

/* --- compressed data (decode.c) --------------------------------------------------------------- */

enum mr__coding { MR_CODING_NONE, MR_CODING_GZIP, MR_CODING_ZSTD };

enum { MR_CODING_BYTES = 4 }; /* so many tell */
enum mr__coding mr__coding_of(const unsigned char *bytes, size_t size);

/* Decodes one member or frame after the other. */
struct mr__decoder;

struct mr__flow {
    const unsigned char *from;
    size_t left; /* bytes at from */
    unsigned char *to;
    size_t room; /* bytes at to */
};

enum mr__decoded {
    MR_DECODED_SOME,
    MR_DECODED_END, /* of the member or frame */
    MR_DECODED_CORRUPT,
    MR_DECODED_NOMEM
};

/* Whether the library was built with what the coding needs. */
bool mr__coding_is_known(enum mr__coding coding);

/* NULL without memory. */
struct mr__decoder *mr__decoder_create(enum mr__coding coding);

/* Decodes what it can, and moves the flow on; *ret_why tells what is corrupt. */
enum mr__decoded mr__decoder_run(struct mr__decoder *decoder, struct mr__flow *flow,
                                 const char **ret_why);
void mr__decoder_destroy(struct mr__decoder *decoder);

/* --- windows (feed.c) ------------------------------------------------------------------------- */

struct mr__feed;

/* For the splits of a plan that are no ranges: their tasks hand windows to other tasks of the
 * batch; or, if batch is NULL, map them all by `out`. */
enum stook_status mr__feed_create(struct mr__feed **ret_feed, mr_batch *batch,
                                  const struct mr_job *job, const struct mr__plan *plan,
                                  struct mr__control *control, struct mr__budget *budget,
                                  mr_emitter *out, struct mr_error *ret_error);
void mr__feed_destroy(struct mr__feed *feed);

/* Reads a split to its end and maps it, or has it mapped; returns when that is done. */
enum stook_status mr__feed_run(struct mr__feed *feed, const struct mr__split *split);

/* What was read or taken beyond the plan's total. feed may be NULL. */
uint64_t mr__feed_taken(struct mr__feed *feed);

#endif
