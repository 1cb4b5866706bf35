/* SPDX-License-Identifier: MIT
 *
 * Runs a harness where there is no libFuzzer: over the lines of files in hexadecimal (corpus/),
 * over other files as they are, and over changes of each, which are the same every time.
 *
 *     fuzz_NAME [-changes=N] FILE...
 *
 * The input at which it aborts is printed.
 */
#include "fuzz.h"
#include <ctype.h>
#include <signal.h>

enum { MOST_BYTES = 1 << 16 };

struct totals {
    unsigned long changes; /* of each input */
    unsigned long runs;
};

static struct mr_slice input_at_hand;

static void print_input(int signal_number)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = input_at_hand.data;
    static char text[2 * (MOST_BYTES + 8) + 1];
    for (size_t i = 0; i < input_at_hand.size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * input_at_hand.size] = '\n';
    (void)!write(STDERR_FILENO, text, 2 * input_at_hand.size + 1);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

/* The harness gets memory of its own, so that a sanitizer sees its ends. */
static void run_one(struct totals *totals, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = must_alloc(size);
    memcpy(copy, bytes, size);
    input_at_hand = mr_slice_of(bytes, size);
    MUST(LLVMFuzzerTestOneInput(copy, size) == 0);
    free(copy);
    totals->runs++;
}

/* Changes, takes out, or puts in some bytes. */
static size_t change(uint8_t *bytes, size_t size, uint64_t *random)
{
    for (unsigned count = 1 + random_below(random, 4); count > 0; count--) {
        const size_t at = size > 0 ? random_below(random, (unsigned)size) : 0;
        const unsigned kind = random_below(random, 4);
        if (kind == 0 && size < MOST_BYTES) {
            memmove(bytes + at + 1, bytes + at, size - at);
            bytes[at] = (uint8_t)random_next(random);
            size++;
        } else if (kind == 1 && size > 0) {
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            size--;
        } else if (kind == 2 && size > 0) {
            bytes[at] = (uint8_t)(bytes[at] ^ 1U << random_below(random, 8));
        } else if (size > 0) {
            bytes[at] = (uint8_t)random_next(random);
        }
    }
    return size;
}

static void run_changes(struct totals *totals, const uint8_t *bytes, size_t size)
{
    static uint8_t changed[MOST_BYTES + 8];
    uint64_t random = size;
    run_one(totals, bytes, size);
    for (unsigned long i = 0; i < totals->changes; i++) {
        memcpy(changed, bytes, size);
        run_one(totals, changed, change(changed, size, &random));
    }
}

static unsigned digit_value(int digit)
{
    MUST(isxdigit(digit));
    return (unsigned)(isdigit(digit) ? digit - '0' : tolower(digit) - 'a' + 10);
}

static void run_hexadecimal(struct totals *totals, FILE *file)
{
    static uint8_t bytes[MOST_BYTES];
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) >= 0) {
        size_t size = 0;
        if (line[0] == '#') {
            continue;
        }
        for (const char *at = line; isxdigit((unsigned char)*at); at += 2) {
            MUST(size < sizeof bytes);
            bytes[size++] = (uint8_t)(digit_value(at[0]) << 4 | digit_value(at[1]));
        }
        run_changes(totals, bytes, size);
    }
    free(line);
}

static void run_file(struct totals *totals, const char *path)
{
    static uint8_t bytes[MOST_BYTES];
    const char *const ending = strrchr(path, '.');
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        die(path, "cannot be read");
    }
    if (ending != NULL && strcmp(ending, ".hex") == 0) {
        run_hexadecimal(totals, file);
    } else {
        run_changes(totals, bytes, fread(bytes, 1, sizeof bytes, file));
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    static const char option[] = "-changes=";
    struct totals totals = {.changes = 0};
    MUST(signal(SIGABRT, print_input) != SIG_ERR);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], option, strlen(option)) == 0) {
            totals.changes = strtoul(argv[i] + strlen(option), NULL, 10);
        } else {
            run_file(&totals, argv[i]);
        }
    }
    fuzz_end();
    printf("%lu inputs\n", totals.runs);
    return totals.runs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
