/* SPDX-License-Identifier: MIT
 *
 * gzip and zstd, each if the library was built with it: one decoder for a member or frame at a
 * time.
 */
#include <stdlib.h>
#include "mr_internal.h"

#if MR_HAVE_ZLIB
#define ZLIB_CONST
#include <zlib.h>
#endif
#if MR_HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

struct mr__decoder {
    enum mr__coding coding;
#if MR_HAVE_ZLIB
    z_stream gzip;
#endif
#if MR_HAVE_ZSTD
    ZSTD_DStream *zstd;
#endif
};

enum mr__coding mr__coding_of(const unsigned char *bytes, size_t size)
{
    if (size >= 3 && bytes[0] == 0x1f && bytes[1] == 0x8b && bytes[2] == 8) {
        return MR_CODING_GZIP;
    }
    if (size < 4) {
        return MR_CODING_NONE;
    }
    if (bytes[0] == 0x28 && bytes[1] == 0xb5 && bytes[2] == 0x2f && bytes[3] == 0xfd) {
        return MR_CODING_ZSTD;
    }
    /* a frame to be skipped, with which pzstd begins */
    if (bytes[0] >> 4 == 5 && bytes[1] == 0x2a && bytes[2] == 0x4d && bytes[3] == 0x18) {
        return MR_CODING_ZSTD;
    }
    return MR_CODING_NONE;
}

bool mr__coding_is_known(enum mr__coding coding)
{
    return coding == MR_CODING_GZIP ? MR_HAVE_ZLIB : coding == MR_CODING_ZSTD && MR_HAVE_ZSTD;
}

/* --- gzip ------------------------------------------------------------------------------------- */

#if MR_HAVE_ZLIB

static void *gzip_alloc(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return calloc(count, size);
}

static void gzip_free(void *opaque, void *memory)
{
    (void)opaque;
    free(memory);
}

static bool gzip_init(struct mr__decoder *decoder)
{
    enum { LARGEST_WINDOW = 15, GZIP_ONLY = 16 };

    decoder->gzip = (z_stream){.zalloc = gzip_alloc, .zfree = gzip_free};
    return inflateInit2(&decoder->gzip, LARGEST_WINDOW + GZIP_ONLY) == Z_OK;
}

static void gzip_fini(struct mr__decoder *decoder)
{
    inflateEnd(&decoder->gzip);
}

static unsigned gzip_size(size_t size)
{
    enum { MOST = 1 << 30 };
    return size < MOST ? (unsigned)size : MOST;
}

static enum mr__decoded gzip_run(struct mr__decoder *decoder, struct mr__flow *flow,
                                 const char **ret_why)
{
    z_stream *stream = &decoder->gzip;
    unsigned left = gzip_size(flow->left);
    unsigned room = gzip_size(flow->room);

    stream->next_in = flow->from;
    stream->avail_in = left;
    stream->next_out = flow->to;
    stream->avail_out = room;
    int code = inflate(stream, Z_NO_FLUSH);
    flow->from += left - stream->avail_in;
    flow->left -= left - stream->avail_in;
    flow->to += room - stream->avail_out;
    flow->room -= room - stream->avail_out;
    switch (code) {
    case Z_OK:
    case Z_BUF_ERROR: /* nothing could be done */
        return MR_DECODED_SOME;
    case Z_STREAM_END:
        return inflateReset(stream) == Z_OK ? MR_DECODED_END : MR_DECODED_NOMEM;
    case Z_MEM_ERROR:
        return MR_DECODED_NOMEM;
    default:
        *ret_why = stream->msg;
        return MR_DECODED_CORRUPT;
    }
}

#else

static bool gzip_init(struct mr__decoder *decoder)
{
    (void)decoder;
    return false;
}

static void gzip_fini(struct mr__decoder *decoder)
{
    (void)decoder;
}

static enum mr__decoded gzip_run(struct mr__decoder *decoder, struct mr__flow *flow,
                                 const char **ret_why)
{
    (void)decoder;
    (void)flow;
    (void)ret_why;
    return MR_DECODED_CORRUPT;
}

#endif

/* --- zstd ------------------------------------------------------------------------------------- */

#if MR_HAVE_ZSTD

static bool zstd_init(struct mr__decoder *decoder)
{
    decoder->zstd = ZSTD_createDStream();
    return decoder->zstd != NULL;
}

static void zstd_fini(struct mr__decoder *decoder)
{
    ZSTD_freeDStream(decoder->zstd);
}

static enum mr__decoded zstd_run(struct mr__decoder *decoder, struct mr__flow *flow,
                                 const char **ret_why)
{
    ZSTD_inBuffer in = {.src = flow->from, .size = flow->left};
    ZSTD_outBuffer out = {.dst = flow->to, .size = flow->room};
    size_t code = ZSTD_decompressStream(decoder->zstd, &out, &in);

    flow->from += in.pos;
    flow->left -= in.pos;
    flow->to += out.pos;
    flow->room -= out.pos;
    if (!ZSTD_isError(code)) {
        return code == 0 ? MR_DECODED_END : MR_DECODED_SOME;
    }
    *ret_why = ZSTD_getErrorName(code);
    return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? MR_DECODED_NOMEM
                                                                   : MR_DECODED_CORRUPT;
}

#else

static bool zstd_init(struct mr__decoder *decoder)
{
    (void)decoder;
    return false;
}

static void zstd_fini(struct mr__decoder *decoder)
{
    (void)decoder;
}

static enum mr__decoded zstd_run(struct mr__decoder *decoder, struct mr__flow *flow,
                                 const char **ret_why)
{
    (void)decoder;
    (void)flow;
    (void)ret_why;
    return MR_DECODED_CORRUPT;
}

#endif

/* --- either ----------------------------------------------------------------------------------- */

struct mr__decoder *mr__decoder_create(enum mr__coding coding)
{
    struct mr__decoder *decoder = calloc(1, sizeof *decoder);

    if (!decoder) {
        return NULL;
    }
    decoder->coding = coding;
    if (coding == MR_CODING_GZIP ? !gzip_init(decoder) : !zstd_init(decoder)) {
        free(decoder);
        return NULL;
    }
    return decoder;
}

enum mr__decoded mr__decoder_run(struct mr__decoder *decoder, struct mr__flow *flow,
                                 const char **ret_why)
{
    *ret_why = NULL;
    return decoder->coding == MR_CODING_GZIP ? gzip_run(decoder, flow, ret_why)
                                             : zstd_run(decoder, flow, ret_why);
}

void mr__decoder_destroy(struct mr__decoder *decoder)
{
    if (!decoder) {
        return;
    }
    if (decoder->coding == MR_CODING_GZIP) {
        gzip_fini(decoder);
    } else {
        zstd_fini(decoder);
    }
    free(decoder);
}
