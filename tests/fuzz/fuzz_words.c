/* SPDX-License-Identifier: MIT
 *
 * Words, letters, lines and fields of made-up texts: all forms that this machine can run give what
 * a plain loop over the bytes does, however many words are asked for at a time, and read nothing in
 * front of the text or behind it.
 */
#include "fuzz.h"
#include "words.h"

enum { MOST_WORDS = 40 };

void fuzz_end(void)
{
}

static bool is_word_byte(unsigned char byte)
{
    return byte != ' ' && (byte < '\t' || byte > '\r');
}

static bool is_letter(unsigned char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* The next run of such bytes; false: there is none. */
static bool take_run(struct mr_slice *text, bool (*belongs)(unsigned char byte),
                     struct mr_slice *ret_run)
{
    const unsigned char *at = text->data;
    const unsigned char *const end = text->size > 0 ? at + text->size : at;
    while (at < end && !belongs(*at)) {
        at++;
    }
    const unsigned char *const begin = at;
    while (at < end && belongs(*at)) {
        at++;
    }
    *ret_run = mr_slice_of(begin, (size_t)(at - begin));
    *text = mr_slice_of(at, (size_t)(end - at));
    return ret_run->size > 0;
}

/* The same places, not only the same bytes. */
static void expect_slice(struct mr_slice got, struct mr_slice expected)
{
    MUST(got.data == expected.data && got.size == expected.size);
}

static void check_words(mr__find_fn *find, struct mr_slice text, bool (*belongs)(unsigned char),
                        size_t most)
{
    struct mr_slice words[MOST_WORDS];
    struct mr_slice left = text;
    struct mr_slice expected;
    size_t count;
    while ((count = find(&left, words, most)) > 0) {
        MUST(count <= most);
        for (size_t i = 0; i < count; i++) {
            MUST(take_run(&text, belongs, &expected));
            expect_slice(words[i], expected);
        }
        MUST((const char *)left.data >=
             (const char *)words[count - 1].data + words[count - 1].size);
    }
    MUST(left.size == 0 && !take_run(&text, belongs, &expected));
}

static void check_lines(struct mr_slice text)
{
    struct mr_slice left = text;
    struct mr_slice line;
    const char *at = text.data;
    const char *const end = text.size > 0 ? at + text.size : at;
    while (mr_next_line(&left, &line)) {
        const char *newline = at;
        while (newline < end && *newline != '\n') {
            newline++;
        }
        const bool has_return = newline < end && newline > at && newline[-1] == '\r';
        expect_slice(line, mr_slice_of(at, (size_t)(newline - at) - has_return));
        at = newline < end ? newline + 1 : end;
        MUST(left.size == (size_t)(end - at));
    }
    MUST(at == end);
}

static void check_fields(struct mr_slice text, char delimiter)
{
    struct mr_slice left = text;
    struct mr_slice field;
    const char *at = text.data;
    const char *const end = text.size > 0 ? at + text.size : at;
    while (mr_next_field(&left, delimiter, &field)) {
        const char *behind = at;
        while (behind < end && *behind != delimiter) {
            behind++;
        }
        expect_slice(field, mr_slice_of(at, (size_t)(behind - at)));
        at = behind < end ? behind + 1 : end;
        MUST(left.size == (size_t)(end - at));
    }
    MUST(at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {data, size};
    const size_t most = 1 + fuzz_below(&bytes, MOST_WORDS);
    const char delimiter = (char)fuzz_byte(&bytes);
    const size_t place = fuzz_below(&bytes, 64);
    const size_t repeats = 1 + fuzz_below(&bytes, 8);
    const struct mr_slice piece = fuzz_take(&bytes, size);
    const size_t text_size = piece.size * repeats;
    /* at its end nothing is behind it, so that a sanitizer sees what is read there */
    char *memory = must_alloc(place + text_size);
    memset(memory, 'x', place);
    for (size_t i = 0; i < repeats && piece.size > 0; i++) {
        memcpy(memory + place + i * piece.size, piece.data, piece.size);
    }
    const struct mr_slice text = mr_slice_of(memory + place, text_size);
    for (size_t i = 0; mr__finder_at(i) != NULL; i++) {
        check_words(mr__finder_at(i)->words, text, is_word_byte, most);
        check_words(mr__finder_at(i)->letters, text, is_letter, most);
    }
    check_words(mr_find_words, text, is_word_byte, most);
    check_words(mr_find_letters, text, is_letter, most);
    check_lines(text);
    check_fields(text, delimiter);
    free(memory);
    return 0;
}
