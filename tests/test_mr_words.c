/* SPDX-License-Identifier: MIT
 *
 * Words, letters, lines and fields of a text. Each form that this machine can run finds exactly
 * what the plainest loop does, at any length, place and size of the array, and never touches a byte
 * outside the text or the array: an unreadable page stands before the text or behind it.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "check.h"
#include "mr_support.h"
#include "words.h"

#include <sys/mman.h>
#include <unistd.h>

/* --- what is to be found ---------------------------------------------------------------------- */

typedef bool belongs_fn(unsigned char byte);

static bool is_of_word(unsigned char byte)
{
    return memchr(" \t\n\v\f\r", byte, 6) == NULL;
}

static bool is_of_letters(unsigned char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* The next run of bytes that belong, from `at` on; false: there is none. */
static bool next_run(const unsigned char **at, const unsigned char *end, belongs_fn *belongs,
                     struct mr_slice *ret_run)
{
    while (*at < end && !belongs(**at)) {
        ++*at;
    }
    const unsigned char *start = *at;
    while (*at < end && belongs(**at)) {
        ++*at;
    }
    *ret_run = mr_slice_of(start, (size_t)(*at - start));
    return *at > start;
}

/* --- comparing -------------------------------------------------------------------------------- */

enum { MOST = 128 };

static const char untouched;

/* Walks the text with `most` words in each call; tells on standard error what is wrong. */
static bool walks_rightly(mr__find_fn *find, belongs_fn *belongs, struct mr_slice text, size_t most)
{
    const unsigned char *at = text.data;
    const unsigned char *end = at + text.size;
    struct mr_slice left = text;
    struct mr_slice words[MOST + 1];
    size_t count;

    do {
        words[most] = mr_slice_of(&untouched, 77);
        count = find(&left, words, most);
        if (count > most || words[most].data != &untouched || words[most].size != 77) {
            fprintf(stderr, "%zu words, or more were written\n", count);
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            struct mr_slice run;
            if (!next_run(&at, end, belongs, &run)) {
                fprintf(stderr, "a word too many\n");
                return false;
            }
            if (words[i].data != run.data || words[i].size != run.size) {
                fprintf(stderr, "a word of %zu bytes at %td is not one of %zu at %td\n",
                        words[i].size, (const char *)words[i].data - (const char *)text.data,
                        run.size, (const char *)run.data - (const char *)text.data);
                return false;
            }
        }
        /* behind the last word; without a word, at the end */
        const unsigned char *behind = count > 0 ? at : end;
        if (left.data != behind || left.size != (size_t)(end - behind)) {
            fprintf(stderr, "the text is left with %zu bytes\n", left.size);
            return false;
        }
        struct mr_slice run;
        if (count < most && next_run(&at, end, belongs, &run)) {
            fprintf(stderr, "a word of %zu bytes was not found\n", run.size);
            return false;
        }
    } while (count > 0);
    return true;
}

/* All forms and both kinds of words. */
static bool all_agree(struct mr_slice text, size_t most)
{
    const struct mr__finder *finder;
    bool agree = walks_rightly(mr_find_words, is_of_word, text, most) &&
                 walks_rightly(mr_find_letters, is_of_letters, text, most);

    for (size_t i = 0; agree && (finder = mr__finder_at(i)) != NULL; i++) {
        agree = walks_rightly(finder->words, is_of_word, text, most) &&
                walks_rightly(finder->letters, is_of_letters, text, most);
        if (!agree) {
            fprintf(stderr, "form %s, ", finder->name);
        }
    }
    if (!agree) {
        fprintf(stderr, "text of %zu bytes, %zu words a call\n", text.size, most);
    }
    return agree;
}

/* --- texts ------------------------------------------------------------------------------------ */

/* Readable pages between two that are not. */
struct pages {
    unsigned char *begin;
    size_t size;
    size_t page;
};

static struct pages must_map_pages(size_t least)
{
    struct pages pages = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    pages.size = (least + pages.page - 1) / pages.page * pages.page;
    void *all =
        mmap(NULL, pages.size + 2 * pages.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(all != MAP_FAILED);
    pages.begin = (unsigned char *)all + pages.page;
    MUST(mprotect(pages.begin, pages.size, PROT_READ | PROT_WRITE) == 0);
    return pages;
}

static void unmap_pages(struct pages *pages)
{
    MUST(munmap(pages->begin - pages->page, pages->size + 2 * pages->page) == 0);
}

/* How a text is made: of arbitrary bytes; of those at the edges of what belongs to a word; and of
 * long and short words, with much or little between them. */
enum kind { ARBITRARY, EDGES, ONE_IN_TWO, ONE_IN_SEVEN, ONE_IN_NINETY, KINDS };

static unsigned char random_byte(uint64_t *random, enum kind kind)
{
    static const unsigned char edges[] =
        "\x08\t\n\v\f\r\x0e\x1f !@AZ[`az{\x7f\x80\x89\x8d\xa0\xc1\xe1\xfa\xff";
    static const unsigned mean[KINDS] = {
        [ONE_IN_TWO] = 2, [ONE_IN_SEVEN] = 7, [ONE_IN_NINETY] = 90};

    if (kind == ARBITRARY) {
        return (unsigned char)random_below(random, 256);
    }
    if (kind == EDGES) {
        return edges[random_below(random, sizeof edges)]; /* with its NUL */
    }
    return random_below(random, mean[kind]) == 0 ? ' ' : 'x';
}

static void fill(unsigned char *bytes, size_t size, uint64_t *random, enum kind kind)
{
    const bool inverted = random_below(random, 4) == 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = random_byte(random, kind);
        bytes[i] = (unsigned char)(inverted && kind >= ONE_IN_TWO ? byte ^ ' ' ^ 'x' : byte);
    }
}

static size_t random_most(uint64_t *random)
{
    static const size_t usual[] = {1, 2, 3, 11, 12, 13, 64, MOST};
    return random_below(random, 2) == 0 ? usual[random_below(random, COUNT_OF(usual))]
                                        : 1 + random_below(random, MOST);
}

enum { LONGEST = 300, ROUNDS = 8 };

Test(mr_words, no_form_differs_or_reads_behind_the_text, .timeout = 60)
{
    struct pages pages = must_map_pages(LONGEST);
    unsigned char *end = pages.begin + pages.size;
    uint64_t random = test_seed();

    cr_assert_not_null(mr__finder_at(0));
    for (size_t size = 0; size <= LONGEST; size++) {
        for (unsigned round = 0; round < ROUNDS * KINDS; round++) {
            fill(end - size, size, &random, round % KINDS);
            cr_assert(all_agree(mr_slice_of(end - size, size), random_most(&random)));
        }
    }
    unmap_pages(&pages);
}

Test(mr_words, no_form_reads_before_the_text, .timeout = 60)
{
    struct pages pages = must_map_pages(LONGEST);
    uint64_t random = test_seed();

    for (size_t size = 0; size <= LONGEST; size++) {
        for (unsigned round = 0; round < KINDS; round++) {
            fill(pages.begin, size, &random, round % KINDS);
            cr_assert(all_agree(mr_slice_of(pages.begin, size), random_most(&random)));
        }
    }
    unmap_pages(&pages);
}

/* Also where the bytes around the text would be part of its words, or end them. */
Test(mr_words, any_alignment_and_any_neighbours, .timeout = 60)
{
    static const unsigned char neighbours[] = {'x', ' '};
    unsigned char bytes[64 + LONGEST + 64];
    uint64_t random = test_seed();

    for (size_t at = 0; at < 64; at++) {
        for (unsigned round = 0; round < ROUNDS * KINDS; round++) {
            const size_t size = random_below(&random, LONGEST + 1);
            memset(bytes, neighbours[random_below(&random, 2)], sizeof bytes);
            fill(bytes + at, size, &random, round % KINDS);
            cr_assert(all_agree(mr_slice_of(bytes + at, size), random_most(&random)), "at %zu", at);
        }
    }
}

/* Each byte value at each place of a block, and of a tail. */
Test(mr_words, each_byte_at_each_place, .timeout = 60)
{
    unsigned char bytes[64 + 17];

    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof bytes; at++) {
            memset(bytes, at % 2 == 0 ? 'x' : ' ', sizeof bytes);
            bytes[at] = (unsigned char)byte;
            cr_assert(all_agree(mr_slice_of(bytes, sizeof bytes), 4), "byte %u at %zu", byte, at);
        }
    }
}

/* The array ends before, with and behind the block that fills it. */
Test(mr_words, any_number_of_words_a_call, .timeout = 60)
{
    unsigned char bytes[5 * 64 + 9];
    uint64_t random = test_seed();

    for (size_t most = 1; most <= MOST; most++) {
        for (unsigned round = 0; round < ROUNDS * KINDS; round++) {
            fill(bytes, sizeof bytes, &random, round % KINDS);
            cr_assert(all_agree(mr_slice_of(bytes, sizeof bytes), most));
        }
    }
}

Test(mr_words, a_word_may_be_longer_than_many_blocks)
{
    static unsigned char bytes[100000];

    memset(bytes, 'x', sizeof bytes);
    for (size_t before = 0; before < 130; before++) {
        memset(bytes, ' ', before);
        cr_assert(all_agree(mr_slice_of(bytes, sizeof bytes), 2));
        cr_assert(all_agree(mr_slice_of(bytes, sizeof bytes - before), 1));
    }
    memset(bytes, ' ', sizeof bytes);
    cr_assert(all_agree(mr_slice_of(bytes, sizeof bytes), 2));
}

Test(mr_words, no_room_moves_nothing)
{
    struct mr_slice text = mr_slice_str(" two words");
    const struct mr_slice before = text;
    const struct mr__finder *finder;

    for (size_t i = 0; (finder = mr__finder_at(i)) != NULL; i++) {
        cr_assert_eq(finder->words(&text, NULL, 0), 0);
        cr_assert_eq(finder->letters(&text, NULL, 0), 0);
        cr_assert(text.data == before.data && text.size == before.size);
    }
    cr_assert_eq(mr_find_words(&text, NULL, 0), 0);
    cr_assert_eq(mr_find_letters(&text, NULL, 0), 0);
    cr_assert(text.data == before.data && text.size == before.size);
}

Test(mr_words, an_empty_text_has_no_words)
{
    struct mr_slice text = mr_slice_of(NULL, 0);
    struct mr_slice word = mr_slice_of(&untouched, 1);
    const struct mr__finder *finder;

    for (size_t i = 0; (finder = mr__finder_at(i)) != NULL; i++) {
        cr_assert_eq(finder->words(&text, &word, 1), 0);
        cr_assert_eq(finder->letters(&text, &word, 1), 0);
    }
    cr_assert(word.data == &untouched && word.size == 1);
    cr_assert_eq(text.size, 0);
}

/* --- lines and fields ------------------------------------------------------------------------- */

/* Are the lines those of `expected`, ended by '|' each? */
static bool lines_are(struct mr_slice text, const char *expected)
{
    struct mr_slice line = mr_slice_of(&untouched, 77);
    struct mr_slice last = line;

    for (; mr_next_line(&text, &line); last = line) {
        if (strncmp(line.data, expected, line.size) != 0 || expected[line.size] != '|') {
            fprintf(stderr, "line '%.*s' is not '%s'\n", (int)line.size, (const char *)line.data,
                    expected);
            return false;
        }
        expected += line.size + 1;
    }
    return *expected == '\0' && text.size == 0 && line.data == last.data && line.size == last.size;
}

Test(mr_words, B94_lines_end_with_a_newline_of_either_kind)
{
    cr_assert(lines_are(mr_slice_str("one\ntwo\n"), "one|two|"));
    cr_assert(lines_are(mr_slice_str("one\r\ntwo\r\n"), "one|two|"));
    cr_assert(lines_are(mr_slice_str("\n\r\n\n"), "|||"));
}

Test(mr_words, B94_the_last_line_needs_no_newline)
{
    cr_assert(lines_are(mr_slice_str("one\ntwo"), "one|two|"));
    cr_assert(lines_are(mr_slice_str("one"), "one|"));
    cr_assert(lines_are(mr_slice_str(""), ""));
    cr_assert(lines_are(mr_slice_of(NULL, 0), ""));
}

/* A "\r" is part of a newline only before "\n", and only one. */
Test(mr_words, B94_other_carriage_returns_stay)
{
    cr_assert(lines_are(mr_slice_str("a\rb\nc\r\r\nd\r"), "a\rb|c\r|d\r|"));
    cr_assert(lines_are(mr_slice_str("\r"), "\r|"));
}

/* What is behind the text may be a newline, and NUL is a byte like any other. */
Test(mr_words, B94_lines_stay_in_the_text)
{
    struct mr_slice line;
    struct mr_slice text = mr_slice_of("a\0b\n", 3);

    cr_assert(mr_next_line(&text, &line));
    cr_assert_eq(line.size, 3);
    cr_assert_not(mr_next_line(&text, &line));
    text = mr_slice_of("a\r\n", 2);
    cr_assert(mr_next_line(&text, &line));
    cr_assert_eq(line.size, 2);
}

static bool next_field_is(struct mr_slice *text, const char *field, const char *rest)
{
    struct mr_slice found = mr_slice_of(&untouched, 77);
    return mr_next_field(text, ',', &found) && slice_is(found, field) && slice_is(*text, rest);
}

Test(mr_words, fields_are_what_is_between_delimiters)
{
    struct mr_slice text = mr_slice_str("one,,t\nwo,");
    struct mr_slice field = mr_slice_of(&untouched, 77);

    cr_assert(next_field_is(&text, "one", ",t\nwo,"));
    cr_assert(next_field_is(&text, "", "t\nwo,"));
    cr_assert(next_field_is(&text, "t\nwo", ""));
    cr_assert_not(mr_next_field(&text, ',', &field));
    cr_assert(field.data == &untouched && field.size == 77);
    text = mr_slice_str("rest");
    cr_assert(next_field_is(&text, "rest", ""));
    text = mr_slice_of(NULL, 0);
    cr_assert_not(mr_next_field(&text, ',', &field));
    text = mr_slice_of("a\xff"
                       "b\0c",
                       5);
    cr_assert(mr_next_field(&text, '\xff', &field) && slice_is(field, "a"));
    cr_assert(mr_next_field(&text, '\0', &field) && slice_is(field, "b"));
    cr_assert(mr_next_field(&text, '\0', &field) && slice_is(field, "c"));
    cr_assert_eq(text.size, 0);
}
