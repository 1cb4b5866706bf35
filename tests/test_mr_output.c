/* SPDX-License-Identifier: MIT
 *
 * Results as lines: which bytes come out, numbers that read back as the same, and descriptors that
 * take little at a time, nothing yet, or nothing ever.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_output.h"

#include <float.h>
#include <math.h>
#include <signal.h>

/* --- a locale with another decimal point ------------------------------------------------------ */

static const char *decimal_point = "."; /* of printf and strtod, as the library sees them */

int __wrap_snprintf(char *text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
double __real_strtod(const char *text, char **ret_end);
double __wrap_strtod(const char *text, char **ret_end);

static void replace_first(char *text, const char *what, const char *by)
{
    char *at = strstr(text, what);
    if (at != NULL) {
        memmove(at + strlen(by), at + strlen(what), strlen(at + strlen(what)) + 1);
        memcpy(at, by, strlen(by));
    }
}

int __wrap_snprintf(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    MUST(format != NULL);
    va_start(arguments, format);
    int length = vsnprintf(text, size, format, arguments);
    va_end(arguments);
    if (strcmp(format, "%.*g") == 0) {
        replace_first(text, ".", decimal_point);
    }
    return length;
}

double __wrap_strtod(const char *text, char **ret_end)
{
    char plain[64];
    MUST(strlen(text) < sizeof plain && ret_end == NULL);
    MUST(strcmp(decimal_point, ".") == 0 || strchr(text, '.') == NULL);
    strcpy(plain, text);
    replace_first(plain, decimal_point, ".");
    return __real_strtod(plain, NULL);
}

/* --- writing to a file ------------------------------------------------------------------------ */

static int anonymous_file(void)
{
    char path[] = "/tmp/stook-test-XXXXXX";
    const int file = mkstemp(path);
    MUST(file >= 0);
    MUST(unlink(path) == 0);
    return file;
}

/* What is left of a result, as text. */
static struct text must_write(mr_result *result, enum mr_format format)
{
    struct mr_error error;
    const int file = anonymous_file();
    memset(&error, 0, sizeof error);
    const enum stook_status status = mr_result_write(NULL, result, file, format, &error);
    if (status != STOOK_OK) {
        die(stook_status_name(status), error.message);
    }
    MUST(lseek(file, 0, SEEK_SET) == 0);
    struct text text = text_read(file);
    MUST(close(file) == 0);
    return text;
}

static void must_give(const struct mr_pair *pairs, size_t count, enum mr_format format,
                      const char *expected, size_t size)
{
    mr_result *result = result_of(pairs, count);
    struct text text = must_write(result, format);
    struct text wanted = {0};
    text_add(&wanted, expected, size);
    cr_assert(text_is(text, wanted), "%s", text.bytes);
    free(text.bytes);
    free(wanted.bytes);
    mr_result_destroy(result);
}

static struct mr_error must_fail_to(int descriptor, mr_result *result, enum mr_format format,
                                    enum stook_status status)
{
    struct mr_error error;
    const int files_before = open_files();
    const long blocks_before = atomic_load(&blocks);
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_result_write(NULL, result, descriptor, format, &error), status);
    cr_assert_eq(error.status, status);
    cr_assert_eq(atomic_load(&blocks), blocks_before);
    cr_assert_eq(open_files(), files_before);
    return error;
}

Test(mr_output, bytes_are_written_as_they_are, .timeout = 60)
{
    const struct mr_pair pairs[] = {
        {{NULL, 0}, {NULL, 0}},     {{NULL, 0}, {"a\0b", 3}},   {{"\n", 1}, {"\t", 1}},
        {{"\xff\xfe", 2}, {"", 0}}, {{"key", 3}, {"value", 5}},
    };
    static const char expected[] = "\t\n\ta\0b\n\n\t\t\nkey\tvalue\n\xff\xfe\t\n";
    must_give(pairs, COUNT_OF(pairs), MR_FORMAT_BYTES, expected, sizeof expected - 1);
    must_give(pairs, 0, MR_FORMAT_BYTES, "", 0);
}

Test(mr_output, what_is_left_is_written, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    struct mr_pair pair;
    for (int i = 0; i < 4; i++) {
        cr_assert(mr_result_next(result, &pair));
    }
    struct text text = must_write(result, MR_FORMAT_U64);
    struct text expected = numbered_text(4, 10);
    cr_assert(text_is(text, expected));
    free(text.bytes);
    cr_assert_not(mr_result_next(result, &pair));
    text = must_write(result, MR_FORMAT_U64);
    cr_assert_eq(text.size, 0);
    free(text.bytes);
    free(expected.bytes);
    mr_result_destroy(result);
}

Test(mr_output, pairs_around_the_size_of_the_buffer, .timeout = 60)
{
    static const size_t sizes[] = {0,      1,      32766,  32767,  32768,  65535,  98303,
                                   131000, 131070, 131071, 131072, 131073, 262144, 1 << 20};
    enum { COUNT = 40, LARGEST = 1 << 20 };
    uint64_t state = test_seed();
    unsigned char *bytes = must_alloc(LARGEST);
    struct mr_pair pairs[COUNT];
    char numbers[COUNT][8];
    for (size_t i = 0; i < LARGEST; i++) {
        bytes[i] = (unsigned char)random_next(&state);
    }
    for (int round = 0; round < 20; round++) {
        struct text expected = {0};
        for (size_t i = 0; i < COUNT; i++) {
            const size_t size = sizes[random_below(&state, COUNT_OF(sizes))];
            bool is_key = i % 2 == 0;
            snprintf(numbers[i], sizeof numbers[i], "%03zu", i);
            pairs[i].key = mr_slice_str(numbers[i]);
            pairs[i].value = mr_slice_of(bytes, size);
            if (is_key) { /* the order is not looked at, only that nothing is lost */
                pairs[i].key = mr_slice_of(bytes, size);
                pairs[i].value = mr_slice_str(numbers[i]);
            }
        }
        mr_result *result = result_of(pairs, COUNT);
        struct mr_pair pair;
        while (mr_result_next(result, &pair)) {
            text_add(&expected, pair.key.data, pair.key.size);
            text_add(&expected, "\t", 1);
            text_add(&expected, pair.value.data, pair.value.size);
            text_add(&expected, "\n", 1);
        }
        mr_result_rewind(result);
        files.most = round % 2 == 0 ? 0 : 10007;
        struct text text = must_write(result, MR_FORMAT_BYTES);
        cr_assert(text_is(text, expected));
        free(text.bytes);
        free(expected.bytes);
        mr_result_destroy(result);
    }
    free(bytes);
}

/* --- numbers ---------------------------------------------------------------------------------- */

Test(mr_output, counts_are_written_in_decimal, .timeout = 60)
{
    enum { RANDOM = 20000 };
    uint64_t state = test_seed();
    struct text expected = {0};
    struct mr_pair *pairs = must_alloc((RANDOM + 64) * sizeof *pairs);
    uint64_t *numbers = must_alloc((RANDOM + 64) * sizeof *numbers);
    char(*keys)[8] = must_alloc((RANDOM + 64) * sizeof *keys);
    size_t count = 0;
    numbers[count++] = 0;
    numbers[count++] = UINT64_MAX;
    for (uint64_t power = 1; count < 60; power *= 10) {
        numbers[count++] = power - 1;
        numbers[count++] = power;
        numbers[count++] = power + 1;
        if (power > UINT64_MAX / 10) {
            break;
        }
    }
    while (count < RANDOM) {
        numbers[count++] = random_next(&state) >> random_below(&state, 64);
    }
    for (size_t i = 0; i < count; i++) {
        char line[64];
        snprintf(keys[i], sizeof keys[i], "%06zu", i);
        pairs[i].key = mr_slice_str(keys[i]);
        pairs[i].value = mr_slice_of(&numbers[i], sizeof numbers[i]);
        text_add(&expected, line,
                 (size_t)snprintf(line, sizeof line, "%s\t%llu\n", keys[i],
                                  (unsigned long long)numbers[i]));
    }
    must_give(pairs, count, MR_FORMAT_U64, expected.bytes, expected.size);
    free(expected.bytes);
    free(pairs);
    free(numbers);
    free(keys);
}

static void must_give_double(double number, const char *expected)
{
    const struct mr_pair pair = {{"k", 1}, {&number, sizeof number}};
    char line[64];
    const int size = snprintf(line, sizeof line, "k\t%s\n", expected);
    must_give(&pair, 1, MR_FORMAT_F64, line, (size_t)size);
}

static void must_give_doubles(void)
{
    must_give_double(0.0, "0");
    must_give_double(-0.0, "-0");
    must_give_double(1.0, "1");
    must_give_double(-17.0, "-17");
    must_give_double(0.1, "0.1");
    must_give_double(-2.5, "-2.5");
    must_give_double(1.0 / 3, "0.3333333333333333");
    must_give_double(0.1 + 0.2, "0.30000000000000004");
    must_give_double(999999999999999.0, "999999999999999");
    must_give_double(1e15, "1e+15");
    must_give_double(1e22, "1e+22");
    must_give_double(1.5e300, "1.5e+300");
    must_give_double(9007199254740993.0, "9007199254740992");
    must_give_double(DBL_MAX, "1.7976931348623157e+308");
    must_give_double(DBL_MIN, "2.2250738585072014e-308");
    must_give_double(5e-324, "5e-324");
    must_give_double(-1.5e-310, "-1.5e-310");
    must_give_double(HUGE_VAL, "inf");
    must_give_double(-HUGE_VAL, "-inf");
    must_give_double((double)NAN, "nan");
    must_give_double(-(double)NAN, "nan");
}

Test(mr_output, doubles_are_short, .timeout = 60)
{
    must_give_doubles();
}

Test(mr_output, locales_do_not_matter, .timeout = 60)
{
    decimal_point = ",";
    must_give_doubles();
    decimal_point = "\xd9\xab";
    must_give_doubles();
}

/* Is it the text of the number with the fewest digits? */
static bool is_shortest(const char *text, double number)
{
    char shorter[64];
    if (memcmp(&(double){strtod(text, NULL)}, &number, sizeof number) != 0) {
        fprintf(stderr, "%s is not %a\n", text, number);
        return false;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(shorter, sizeof shorter, "%.*g", digits, number);
        if (strtod(shorter, NULL) == number) {
            break;
        }
    }
    if (strlen(shorter) < strlen(text)) {
        fprintf(stderr, "%s would do for %s\n", shorter, text);
        return false;
    }
    return true;
}

Test(mr_output, doubles_read_back_as_the_same, .timeout = 60)
{
    enum { COUNT = 20000 };
    uint64_t state = test_seed();
    double *numbers = must_alloc(COUNT * sizeof *numbers);
    struct mr_pair *pairs = must_alloc(COUNT * sizeof *pairs);
    char(*keys)[8] = must_alloc(COUNT * sizeof *keys);
    for (size_t i = 0; i < COUNT; i++) {
        do {
            uint64_t bits = random_next(&state);
            if (i % 8 == 0) {
                bits &= ~(UINT64_C(0x7ff) << 52); /* subnormal */
            }
            memcpy(&numbers[i], &bits, sizeof bits);
            if (i % 8 > 4) {
                numbers[i] = (double)(int64_t)bits / (i % 8 == 5 ? 1 : 1e6);
            }
        } while (!isfinite(numbers[i]));
        snprintf(keys[i], sizeof keys[i], "%06zu", i);
        pairs[i].key = mr_slice_str(keys[i]);
        pairs[i].value = mr_slice_of(&numbers[i], sizeof numbers[i]);
    }
    mr_result *result = result_of(pairs, COUNT);
    struct text text = must_write(result, MR_FORMAT_F64);
    char *line = text.bytes;
    for (size_t i = 0; i < COUNT; i++) {
        char *end = strchr(line, '\n');
        cr_assert(end != NULL && line[6] == '\t');
        *end = '\0';
        cr_assert(is_shortest(line + 7, numbers[i]));
        line = end + 1;
    }
    cr_assert_eq(line, text.bytes + text.size);
    free(text.bytes);
    free(numbers);
    free(pairs);
    free(keys);
    mr_result_destroy(result);
}

/* --- arguments -------------------------------------------------------------------------------- */

Test(mr_output, values_that_are_no_numbers_are_named, .timeout = 60)
{
    static const size_t sizes[] = {0, 1, 7, 9, 100000};
    char *bytes = must_alloc(100000);
    memset(bytes, 'x', 100000);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const struct mr_pair pairs[] = {{{"good", 4}, {bytes, 8}},
                                        {{"odd\n", 4}, {bytes, sizes[i]}}};
        mr_result *result = result_of(pairs, 2);
        char size[32];
        snprintf(size, sizeof size, " %zu bytes", sizes[i]);
        for (enum mr_format format = MR_FORMAT_U64; format <= MR_FORMAT_F64; format++) {
            const int file = anonymous_file();
            mr_result_rewind(result);
            struct mr_error error = must_fail_to(file, result, format, STOOK_INVALID);
            cr_assert_eq(error.phase, MR_PHASE_OUTPUT);
            cr_assert(tells(&error, "'odd\\x0a'"));
            cr_assert(tells(&error, size));
            cr_assert(tells(&error, format == MR_FORMAT_U64 ? "uint64_t" : "double"));
            close(file);
        }
        mr_result_destroy(result);
    }
    free(bytes);
}

Test(mr_output, arguments_are_refused, .timeout = 60)
{
    mr_result *result = numbered_result(3);
    struct mr_error error = must_fail_to(STDERR_FILENO, NULL, MR_FORMAT_U64, STOOK_INVALID);
    cr_assert(tells(&error, "result"));
    error = must_fail_to(STDERR_FILENO, result, (enum mr_format)3, STOOK_INVALID);
    cr_assert(tells(&error, "format"));
    cr_assert_eq(mr_result_write(NULL, result, STDERR_FILENO, (enum mr_format)3, NULL),
                 STOOK_INVALID);
    mr_result_destroy(result);
}

/* --- descriptors ------------------------------------------------------------------------------ */

Test(mr_output, interrupted_and_partial_writes_go_on, .timeout = 60)
{
    mr_result *result = numbered_result(30000);
    files.most = 1000;
    files.interrupted = 50;
    struct text text = must_write(result, MR_FORMAT_U64);
    struct text expected = numbered_text(0, 30000);
    cr_assert(text_is(text, expected));
    cr_assert_eq(files.interrupted, 0);
    free(text.bytes);
    free(expected.bytes);
    mr_result_destroy(result);
}

struct pipe_reader {
    int file;
    struct text text;
};

/* Begins when the pipe was full once. */
static int read_pipe(void *arg)
{
    struct pipe_reader *reader = arg;
    SPIN_UNTIL(atomic_load(&files.refused) > 0);
    reader->text = text_read(reader->file);
    return 0;
}

Test(mr_output, descriptors_that_do_not_block_are_waited_for, .timeout = 60)
{
    mr_result *result = numbered_result(30000);
    struct pipe_reader reader = {0};
    struct mr_error error;
    thrd_t thread;
    int ends[2];
    MUST(pipe(ends) == 0);
    MUST(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    reader.file = ends[0];
    files.interrupted = 3;
    must_start(&thread, read_pipe, &reader);
    cr_assert_eq(mr_result_write(NULL, result, ends[1], MR_FORMAT_U64, &error), STOOK_OK);
    close(ends[1]);
    thrd_join(thread, NULL);
    close(ends[0]);
    struct text expected = numbered_text(0, 30000);
    cr_assert(text_is(reader.text, expected));
    cr_assert_gt(files.polls, 0);
    free(reader.text.bytes);
    free(expected.bytes);
    mr_result_destroy(result);
}

static void must_tell_io(const struct mr_error *error, int code, int descriptor)
{
    char name[32];
    snprintf(name, sizeof name, "descriptor %d", descriptor);
    cr_assert_eq(error->phase, MR_PHASE_OUTPUT);
    cr_assert_eq(error->code, code);
    cr_assert(tells(error, name));
    cr_assert(tells(error, strerror(code)));
}

Test(mr_output, full_devices_and_closed_pipes_are_errors, .timeout = 60)
{
    mr_result *result = numbered_result(30000); /* several writes */
    int file = open("/dev/full", O_WRONLY);
    if (file >= 0) {
        struct mr_error error = must_fail_to(file, result, MR_FORMAT_U64, STOOK_IO);
        must_tell_io(&error, ENOSPC, file);
        mr_result_rewind(result);
        cr_assert_eq(mr_result_write(NULL, result, file, MR_FORMAT_U64, NULL), STOOK_IO);
        close(file);
    }
    int ends[2];
    MUST(pipe(ends) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    close(ends[0]);
    mr_result_rewind(result);
    struct mr_error error = must_fail_to(ends[1], result, MR_FORMAT_U64, STOOK_IO);
    must_tell_io(&error, EPIPE, ends[1]);
    close(ends[1]);
    mr_result_rewind(result);
    error = must_fail_to(-1, result, MR_FORMAT_U64, STOOK_IO);
    must_tell_io(&error, EBADF, -1);
    files.is_zero = true;
    mr_result_rewind(result);
    error = must_fail_to(STDERR_FILENO, result, MR_FORMAT_U64, STOOK_IO);
    must_tell_io(&error, EIO, STDERR_FILENO);
    mr_result_destroy(result);
}

Test(mr_output, every_write_may_be_the_one_that_fails, .timeout = 60)
{
    mr_result *result = numbered_result(60000);
    const int file = anonymous_file();
    enum stook_status status;
    long number = 0;
    files.code = ENOSPC;
    do {
        mr_result_rewind(result);
        atomic_store(&files.left, number++);
        status = mr_result_write(NULL, result, file, MR_FORMAT_U64, NULL);
        cr_assert_eq(status, atomic_load(&files.left) < 0 ? STOOK_IO : STOOK_OK);
    } while (status != STOOK_OK);
    cr_assert_gt(number, 5);
    atomic_store(&files.left, -1);
    close(file);
    mr_result_destroy(result);
}

Test(mr_output, memory_and_reading_may_fail, .timeout = 60)
{
    mr_result *result = numbered_result(100);
    const int file = anonymous_file();
    fail_call(0);
    struct mr_error error = must_fail_to(file, result, MR_FORMAT_U64, STOOK_NOMEM);
    fail_none();
    cr_assert_eq(error.phase, MR_PHASE_OUTPUT);
    pairs_until_unreadable = 50;
    error = must_fail_to(file, result, MR_FORMAT_U64, STOOK_IO);
    cr_assert_str_eq(error.message, "unreadable");
    close(file);
    mr_result_destroy(result);
}
