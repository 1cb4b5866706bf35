/* SPDX-License-Identifier: MIT
 *
 * Requests, errors and bytes by country: joins logs of a web server, whose lines are
 * ADDRESS USER TIME PATH STATUS BYTES, with a table of users, whose lines are USER COUNTRY.
 * Prints COUNTRY USERS REQUESTS ERRORS BYTES, by country; "-" is that of users who are not in the
 * table, and USERS counts those who have made requests. An error has a status from 400.
 *
 * Two jobs. The first brings the lines of a user together, whichever file they are from: its
 * combiner is the join. The second maps over its result and adds up by country.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"

struct record {
    char country[8]; /* empty: not known yet */
    uint64_t users, requests, errors, bytes;
};

static uint64_t number_of(struct mr_slice digits)
{
    const char *at = digits.data;
    uint64_t number = 0;

    for (size_t i = 0; i < digits.size; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return 0;
        }
        number = 10 * number + (uint64_t)(at[i] - '0');
    }
    return number;
}

/* Source 0 is the table of users, all others are logs. A line that lacks fields is bad. */
static bool parse(struct mr_slice line, bool is_user, struct mr_slice *ret_user,
                  struct record *ret_record)
{
    enum { ADDRESS, USER, TIME, PATH, STATUS, BYTES, FIELDS };
    struct mr_slice fields[FIELDS];
    size_t expected = is_user ? 2 : FIELDS;
    size_t count = 0;

    while (count < expected && mr_next_field(&line, ' ', &fields[count])) {
        count++;
    }
    if (count < expected || line.size > 0) {
        return false;
    }
    *ret_record = (struct record){.users = 0};
    if (is_user) {
        *ret_user = fields[0];
        if (fields[1].size >= sizeof ret_record->country) {
            return false;
        }
        memcpy(ret_record->country, fields[1].data, fields[1].size);
        return true;
    }
    *ret_user = fields[USER];
    ret_record->requests = 1;
    ret_record->errors = number_of(fields[STATUS]) >= 400;
    ret_record->bytes = number_of(fields[BYTES]);
    return true;
}

static int map_line(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct mr_slice name;
    struct record record;
    (void)user;

    if (!parse(item->data, item->source == 0, &name, &record)) {
        return 1; /* the message says where */
    }
    return (int)mr_emit(out, name, mr_slice_of(&record, sizeof record));
}

/* A user who is in the table twice is from the country that is last. */
static int join(struct mr_slice key, void *accumulator, size_t size, struct mr_slice value,
                void *user)
{
    struct record *sum = accumulator;
    struct record more;
    (void)key;
    (void)size;
    (void)user;

    memcpy(&more, value.data, sizeof more);
    if (memcmp(more.country, sum->country, sizeof more.country) > 0) {
        memcpy(sum->country, more.country, sizeof more.country);
    }
    sum->users += more.users;
    sum->requests += more.requests;
    sum->errors += more.errors;
    sum->bytes += more.bytes;
    return 0;
}

/* The item is a pair of the first job: a user and what is known of him. */
static int map_user(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct record record;
    (void)user;

    memcpy(&record, item->value.data, sizeof record);
    if (record.requests == 0) {
        return 0;
    }
    record.users = 1;
    if (record.country[0] == '\0') {
        record.country[0] = '-';
    }
    return (int)mr_emit(out, mr_slice_str(record.country), mr_slice_of(&record, sizeof record));
}

/* --- logs to try it with ---------------------------------------------------------------------- */

enum { LONGEST_LINE = 96 };

struct text {
    char *bytes;
    size_t size;
};

/* The table and a log, in new memory. */
static void generate(struct app *app, uint64_t lines, uint64_t users, struct text texts[2])
{
    static const char *const countries[] = {"AR", "BR", "CN", "DE", "EG",
                                            "FR", "IN", "JP", "KE", "US"};
    static const unsigned statuses[] = {200, 200, 200, 200, 200, 200, 301, 304, 404, 500};
    char *table = app_allocate(app, users, LONGEST_LINE);
    char *log = app_allocate(app, lines, LONGEST_LINE);
    char *at = table;
    uint64_t seed = 1;

    for (uint64_t i = 0; i < users; i++) {
        uint64_t random = app_random(&seed);
        if (random % 16 > 0) { /* some are not in the table */
            at += sprintf(at, "user%" PRIu64 " %s\n", i, countries[random / 16 % 10]);
        }
    }
    texts[0] = (struct text){table, (size_t)(at - table)};
    at = log;
    for (uint64_t i = 0; i < lines; i++) {
        uint64_t random = app_random(&seed);
        at += sprintf(at, "10.%u.%u.%u user%" PRIu64 " %" PRIu64 " /page/%u.html %u %u\n",
                      (unsigned)(random & 255), (unsigned)(random >> 8 & 255),
                      (unsigned)(random >> 16 & 255), app_random(&seed) % users,
                      1700000000 + i / 100, (unsigned)(random >> 24 & 4095),
                      statuses[(random >> 36) % 10], (unsigned)(random >> 40 & 0xffff));
    }
    texts[1] = (struct text){log, (size_t)(at - log)};
}

static void write_file(struct app *app, const char *directory, const char *name,
                       const struct text *text)
{
    size_t size = strlen(directory) + strlen(name) + 2;
    char *path = app_allocate(app, size, 1);

    snprintf(path, size, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(text->bytes, 1, text->size, file) != text->size || fclose(file) != 0) {
        app_fail(app, "cannot write %s: %s", path, strerror(errno));
    }
    free(path);
}

/* --- the program ------------------------------------------------------------------------------ */

static void analyse(struct app *app, const struct mr_source *sources, size_t count)
{
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;

    job.input = mr_input_text(sources, count);
    job.map = map_line;
    job.combine = join;
    mr_result *by_user = app_run(app, &job);
    job.input = mr_input_result(by_user);
    job.map = map_user;
    job.order = MR_ORDER_KEY;
    mr_result *by_country = app_run(app, &job);
    while (mr_result_next(by_country, &pair)) {
        struct record record;
        memcpy(&record, pair.value.data, sizeof record);
        printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", record.country, record.users,
               record.requests, record.errors, record.bytes);
    }
    mr_result_destroy(by_country);
    mr_result_destroy(by_user);
}

int main(int argc, char **argv)
{
    static const char usage[] =
        "usage: log_analysis [OPTION...] USERS LOG...\n"
        "       log_analysis --lines N [OPTION...]\n"
        "  --lines N             make a log of so many lines, instead of reading files\n"
        "  --users N             and a table of about so many users (default: 10000)\n"
        "  --write DIRECTORY     write them to DIRECTORY/users and DIRECTORY/log, and end\n";
    uint64_t lines = 0;
    uint64_t users = 10000;
    const char *directory = NULL;
    const struct app_option options[] = {{.name = "--lines", .number = &lines},
                                         {.name = "--users", .number = &users},
                                         {.name = "--write", .text = &directory},
                                         {.name = NULL}};
    struct text texts[2];
    struct app app;

    app_begin(&app, argc, argv, usage, options);
    if (directory && lines == 0) {
        app_fail_usage(&app, "--write needs --lines");
    }
    if (lines == 0) {
        app_need_files(&app, 2, SIZE_MAX);
        analyse(&app, app_sources(&app), app.file_count);
        return app_end(&app);
    }
    app_need_files(&app, 0, 0);
    generate(&app, lines, users, texts);
    if (directory) {
        write_file(&app, directory, "users", &texts[0]);
        write_file(&app, directory, "log", &texts[1]);
    } else {
        const struct mr_source sources[] = {{.text = mr_slice_of(texts[0].bytes, texts[0].size)},
                                            {.text = mr_slice_of(texts[1].bytes, texts[1].size)}};
        analyse(&app, sources, 2);
    }
    free(texts[0].bytes);
    free(texts[1].bytes);
    return app_end(&app);
}
