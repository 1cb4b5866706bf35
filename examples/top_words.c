/* SPDX-License-Identifier: MIT
 *
 * The most frequent words of files, all together: maximal runs of bytes that are not white space.
 * Prints WORD<TAB>COUNT, the most frequent first, and those that are as frequent by word.
 *
 * Told that only the first pairs are wanted, the library sorts no others.
 */
#include <stdio.h>
#include <unistd.h>
#include "app.h"

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    enum { SOME = 64 };
    const uint64_t one = 1;
    struct mr_slice text = item->data;
    struct mr_slice words[SOME];
    enum stook_status status = STOOK_OK;
    size_t count;
    (void)user;

    while (status == STOOK_OK && (count = mr_find_words(&text, words, SOME)) > 0) {
        status = mr_emit_keys(out, words, count, mr_slice_of(&one, sizeof one));
    }
    return (int)status;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: top_words [OPTION...] FILE...\n"
                                "  --top K               how many (default: 10)\n";
    uint64_t top = 10;
    const struct app_option options[] = {{.name = "--top", .number = &top}, {.name = NULL}};
    struct mr_job job = MR_JOB_INIT;
    struct mr_error error;
    struct app app;

    app_begin(&app, argc, argv, usage, options);
    job.input = mr_input_text(app_sources(&app), app.file_count);
    job.input.delimiters = " \t\n\v\f\r";
    job.input.whole_splits = true; /* some 10,000 words in a call */
    job.map = map_words;
    job.combine = mr_sum_u64;
    job.order = MR_ORDER_PAIR;
    job.compare = mr_by_count;
    job.top = top;
    mr_result *result = app_run(&app, &job);
    if (mr_result_write(app.executor, result, STDOUT_FILENO, MR_FORMAT_U64, &error) != STOOK_OK) {
        app_fail(&app, "%s: %s", stook_status_name(error.status), error.message);
    }
    mr_result_destroy(result);
    return app_end(&app);
}
