/* SPDX-License-Identifier: MIT
 *
 * Compressed input, whole or spoilt: what a job maps is what zlib and libzstd give by themselves,
 * one member after the other, no byte more and none in another place; and where they find it
 * corrupt or cut off, the job fails.
 */
#include "fuzz_texts.h"

enum { MOST_OUTPUT = 1 << 16 };

/* What it is decompressed. */
struct plain {
    unsigned char *data;
    size_t size;
    bool is_whole; /* false: corrupt or cut off behind it */
    bool is_large; /* more than MOST_OUTPUT */
    bool
        is_doubtful; /* it depends on the pieces it is taken in whether zstd takes it for corrupt */
};

/* --- by the libraries themselves ---------------------------------------------------------------
 * */

static bool begins(struct mr_slice bytes, const char *magic, size_t size)
{
    return bytes.size >= size && memcmp(bytes.data, magic, size) == 0;
}

static bool is_gzip(struct mr_slice bytes)
{
    return begins(bytes, "\x1f\x8b\x08", 3);
}

static bool is_zstd(struct mr_slice bytes)
{
    const unsigned char *data = bytes.data;
    return begins(bytes, "\x28\xb5\x2f\xfd", 4) ||
           (bytes.size >= 4 && data[0] >> 4 == 5 && memcmp(data + 1, "\x2a\x4d\x18", 3) == 0);
}

/* Each takes one member; false: it is corrupt, cut off, or too large. */
static bool take_gzip(struct mr_slice *bytes, struct plain *plain)
{
    bool is_whole = false;
    (void)bytes;
    (void)plain;
#if MR_HAVE_ZLIB
    unsigned char *copy = must_alloc(bytes->size);
    memcpy(copy, bytes->data, bytes->size);
    z_stream stream = {.next_in = copy,
                       .avail_in = (unsigned)bytes->size,
                       .next_out = plain->data + plain->size,
                       .avail_out = (unsigned)(MOST_OUTPUT - plain->size)};
    MUST(inflateInit2(&stream, 15 + 16) == Z_OK);
    is_whole = inflate(&stream, Z_SYNC_FLUSH) == Z_STREAM_END;
    plain->size += stream.total_out;
    *bytes =
        mr_slice_of((const char *)bytes->data + stream.total_in, bytes->size - stream.total_in);
    inflateEnd(&stream);
    free(copy);
#endif
    return is_whole;
}

static bool take_zstd(struct mr_slice *bytes, struct plain *plain)
{
    bool is_whole = false;
    (void)bytes;
    (void)plain;
#if MR_HAVE_ZSTD
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {.src = bytes->data, .size = bytes->size};
    ZSTD_outBuffer out = {.dst = plain->data, .size = plain->size, .pos = plain->size};
    const unsigned long long told = ZSTD_getFrameContentSize(bytes->data, bytes->size);
    const size_t begin = plain->size;
    size_t before, status;
    MUST(stream != NULL);
    do { /* byte by byte, as it gives nothing of a frame that it takes at once and finds corrupt */
        before = in.pos + out.pos;
        out.size += out.size < MOST_OUTPUT;
        status = ZSTD_decompressStream(stream, &out, &in);
    } while (!ZSTD_isError(status) && status != 0 && in.pos + out.pos > before);
    is_whole = status == 0;
    /* zstd notices that less is there than the frame says only if it takes it at once */
    plain->is_doubtful |= is_whole && told < ZSTD_CONTENTSIZE_ERROR && told != out.pos - begin;
    plain->size = out.pos;
    *bytes = mr_slice_of((const char *)bytes->data + in.pos, bytes->size - in.pos);
    ZSTD_freeDStream(stream);
#endif
    return is_whole;
}

static struct plain decompress(struct mr_slice bytes)
{
    struct plain plain = {.data = must_alloc(MOST_OUTPUT), .is_whole = true};
    if (!is_gzip(bytes) && !is_zstd(bytes)) {
        MUST(bytes.size <= MOST_OUTPUT);
        if (bytes.size > 0) {
            memcpy(plain.data, bytes.data, bytes.size);
        }
        plain.size = bytes.size;
        return plain;
    }
    while (plain.is_whole && bytes.size > 0) {
        plain.is_whole = is_gzip(bytes) ? take_gzip(&bytes, &plain)
                                        : is_zstd(bytes) && take_zstd(&bytes, &plain);
        while (bytes.size > 0 && *(const unsigned char *)bytes.data == 0) { /* filled up */
            bytes = mr_slice_of((const char *)bytes.data + 1, bytes.size - 1);
        }
    }
    plain.is_large = plain.size == MOST_OUTPUT;
    return plain;
}

/* --- the matter --------------------------------------------------------------------------------
 * */

/* Bytes as they are; or a text, often, compressed, and then spoilt. */
static struct mr_slice make_bytes(struct fuzz_bytes *bytes)
{
    struct {
        size_t at;
        unsigned flip;
    } changes[4];
    const unsigned how = fuzz_below(bytes, 4);
    const size_t repeats = 1 + fuzz_byte(bytes);
    const size_t members = 1 + fuzz_below(bytes, 3);
    const size_t cut = fuzz_byte(bytes);
    const size_t count = fuzz_below(bytes, 5);
    for (size_t i = 0; i < count; i++) {
        changes[i].at = fuzz_byte(bytes) * 256 + fuzz_byte(bytes);
        changes[i].flip = fuzz_byte(bytes);
    }
    const struct mr_slice text = fuzz_take(bytes, 1000);
    unsigned char *many = must_alloc(text.size * repeats);
    for (size_t i = 0; i < repeats && text.size > 0; i++) {
        memcpy(many + i * text.size, text.data, text.size);
    }
    const struct mr_slice plain = mr_slice_of(many, text.size * (how == 0 ? 1 : repeats));
    const enum coding coding = how == 1 ? GZIP : how == 2 ? ZSTD : PLAIN_TEXT;
    struct mr_slice made = code_text(can_code(coding) ? coding : PLAIN_TEXT, plain, members);
    unsigned char *data = must_alloc(made.size);
    memcpy(data, made.data, made.size);
    free_slice(made);
    free(many);
    size_t size = cut < made.size ? made.size - cut : 0;
    for (size_t i = 0; i < count && size > 0; i++) {
        data[changes[i].at % size] ^= (unsigned char)changes[i].flip;
    }
    return mr_slice_of(data, size < MOST_TEXT ? size : MOST_TEXT);
}

/* The mapper: nothing but what is there, where it is. */
static int checking_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct plain *plain = user;
    MUST(item->index <= plain->size && item->data.size <= plain->size - item->index);
    MUST(item->data.size == 0 ||
         memcmp(plain->data + item->index, item->data.data, item->data.size) == 0);
    return place_map(item, out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {data, size};
    struct texts texts = {.count = 1};
    struct mr_error error;
    mr_result *result;

    const enum way way = (enum way)fuzz_below(&bytes, FIFO);
    stook_executor *executor = executor_of(fuzz_below(&bytes, MOST_WORKERS + 1));
    struct mr_job job = place_job(texts.sources, 1);
    job.input.records = fuzz_flag(&bytes) ? MR_RECORDS_WHOLE : MR_RECORDS_DELIMITED;
    job.input.whole_splits = fuzz_flag(&bytes);
    job.input.chunk = fuzz_flag(&bytes) ? MR_CHUNK_AUTO : 1 + fuzz_byte(&bytes);
    job.input.map_files = way == MAPPED;
    texts.all[0] = make_bytes(&bytes);
    struct plain plain = decompress(texts.all[0]);
    const struct mr_slice expected = mr_slice_of(plain.data, plain.size);
    if (job.input.chunk != MR_CHUNK_AUTO) {
        job.input.chunk += plain.size / 300; /* tasks take time */
    }
    job.map = checking_map;
    job.user = &plain;
    if (!plain.is_large && !plain.is_doubtful) {
        open_sources(&texts, way);
        const enum stook_status status = run_job(executor, &job, &result, &error);
        close_sources(&texts);
        if (plain.is_whole) {
            MUST(status == STOOK_OK);
            MUST(job.input.whole_splits ? are_splits(result, &expected, &job.input)
                                        : are_records(result, &expected, &job.input));
            mr_result_destroy(result);
        } else {
            MUST(status == STOOK_IO && error.phase == MR_PHASE_INPUT && error.source == 0);
            MUST(error.message[0] != '\0' && result == UNTOUCHED(mr_result));
        }
    }
    free(plain.data);
    free_slice(texts.all[0]);
    return 0;
}
