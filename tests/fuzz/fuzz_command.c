/* SPDX-License-Identifier: MIT
 *
 * The command's arguments: any list of options, numbers, names and other words gives one of the
 * exit statuses that the help names. And `stook grep` finds the lines that a loop with regexec()
 * does, whatever it knows about the expression.
 */
#include "fuzz.h"
#include <fcntl.h>
#include <getopt.h>
#include <regex.h>
#include "../../mapreduce/command/command.h"

enum { MOST_WORDS = 8, MOST_WORD = 40, MOST_OUTPUT = 1 << 14, MOST_PLUSES = 8 };

/* --- a process of its own ----------------------------------------------------------------------
 * */

static bool output_is_closed;

int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
enum stook_status __real_stook_executor_create(const struct stook_executor_options *options,
                                               stook_executor **ret_executor);
enum stook_status __wrap_stook_executor_create(const struct stook_executor_options *options,
                                               stook_executor **ret_executor);

int __wrap_fclose(FILE *file)
{
    output_is_closed = output_is_closed || file == stdout;
    return __real_fclose(file);
}

/* A few workers stand for many. */
enum stook_status __wrap_stook_executor_create(const struct stook_executor_options *options,
                                               stook_executor **ret_executor)
{
    struct stook_executor_options few = *options;
    few.workers = 1 + options->workers % 2;
    return __real_stook_executor_create(&few, ret_executor);
}

static FILE *own_output;
static FILE *own_errors;
static int output = -1;

static void begin_output(void)
{
    if (own_output == NULL) {
        const int empty = open("/dev/null", O_RDWR | O_CLOEXEC);
        MUST(empty >= 0 && dup2(empty, STDIN_FILENO) == STDIN_FILENO);
        own_errors = fdopen(empty, "w");
        own_output = stdout;
        MUST(own_errors != NULL);
        fflush(stdout);
        output = memfd_create("output", 0);
        MUST(output >= 0 && dup2(output, STDOUT_FILENO) == STDOUT_FILENO);
    }
    MUST(ftruncate(output, 0) == 0 && lseek(output, 0, SEEK_SET) == 0);
    stdout = fdopen(dup(output), "w");
    MUST(stdout != NULL);
    output_is_closed = false;
}

static void end_output(void)
{
    if (!output_is_closed) {
        MUST(__real_fclose(stdout) == 0);
    }
    stdout = own_output;
}

void fuzz_end(void)
{
    if (own_errors != NULL) {
        __real_fclose(own_errors);
        close(output);
    }
}

static int run(unsigned command, int count, char **words)
{
    FILE *const errors = stderr;
    begin_output();
    stderr = own_errors;
    optind = 0;
    const int status = command == 0   ? command_grep(count, words)
                       : command == 1 ? command_index(count, words)
                                      : command_wordcount(count, words);
    stderr = errors;
    end_output();
    return status;
}

/* --- any words ---------------------------------------------------------------------------------
 * */

static const char *const known[] = {
    "--workers",
    "--workers=2",
    "--memory-limit",
    "--memory-limit=8M",
    "--memory-limit=1",
    "--no-progress",
    "--help",
    "--version",
    "--top",
    "--top=3",
    "--sort",
    "--sort=count",
    "--sort=key",
    "--sort=word",
    "--count",
    "-c",
    "-",
    "--",
    "1",
    "0",
    "8M",
    "1G",
    "99999999999999999999",
    "18446744073709551615",
    "16777216K",
    "-1",
    "a",
    ".+",
    "[ab]+",
    "(",
    "*",
    "^$",
    "x|y",
    "/nowhere",
    "",
    "--w",
    "--memory-limit=18446744073709551615G",
    "-cc",
    "-x",
};

/* Replaces these characters; and a plus after the first ones, each of which takes regcomp() twice
 * the memory. */
static void replace(char *text, const char *characters, char by)
{
    int pluses = 0;
    for (char *at = text; *at != '\0'; at++) {
        const bool is_surplus = *at == '+' && pluses++ >= MOST_PLUSES;
        *at = is_surplus || strchr(characters, *at) != NULL ? by : *at;
    }
}

/* A known word, the file, or bytes, which name no file anywhere. */
static void read_word(struct fuzz_bytes *bytes, const char *path, char word[MOST_WORD])
{
    const unsigned which = fuzz_below(bytes, COUNT_OF(known) + 10);
    if (which < COUNT_OF(known)) {
        snprintf(word, MOST_WORD, "%s", known[which]);
        return;
    }
    if (which < COUNT_OF(known) + 5) {
        snprintf(word, MOST_WORD, "%s", path);
        return;
    }
    const struct mr_slice slice = fuzz_take(bytes, fuzz_below(bytes, MOST_WORD - 1));
    snprintf(word, MOST_WORD, "%.*s", (int)slice.size,
             slice.size > 0 ? (const char *)slice.data : "");
    replace(word, "/.{\\", '_');
}

static void run_any(struct fuzz_bytes *bytes)
{
    static char name[] = "command";
    char words[MOST_WORDS][MOST_WORD];
    char *list[MOST_WORDS + 2] = {name};
    struct fuzz_file file;
    const unsigned command = fuzz_below(bytes, 3);
    const size_t count = fuzz_below(bytes, MOST_WORDS + 1);
    char path[MOST_WORD];
    fuzz_file_make(&file, mr_slice_str("some words\nsome lines\n\nwords\n"));
    snprintf(path, sizeof path, "%s", file.path);
    for (size_t i = 0; i < count; i++) {
        read_word(bytes, path, words[i]);
        list[i + 1] = words[i];
    }
    const int status = run(command, (int)count + 1, list);
    MUST(status == 0 || status == EXIT_TROUBLE || status == EXIT_USAGE);
    MUST(close(file.descriptor) == 0);
}

/* --- lines that match --------------------------------------------------------------------------
 * */

static size_t expected_output(const regex_t *expression, char *text, size_t size, char *to)
{
    size_t written = 0;
    for (char *at = text; at < text + size;) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        end = end != NULL ? end : text + size;
        const char ended = *end;
        *end = '\0';
        if (regexec(expression, at, 0, NULL, 0) == 0) {
            written += (size_t)snprintf(to + written, MOST_OUTPUT - written, "%s\n", at);
        }
        *end = ended;
        at = end + 1;
    }
    return written;
}

static void run_grep(struct fuzz_bytes *bytes)
{
    static char name[] = "command";
    static char end[] = "--";
    static char got[MOST_OUTPUT];
    static char expected[MOST_OUTPUT];
    char pattern[MOST_WORD];
    struct fuzz_file file;
    regex_t expression;
    const struct mr_slice slice = fuzz_take(bytes, fuzz_below(bytes, MOST_WORD - 1));
    snprintf(pattern, sizeof pattern, "%.*s", (int)slice.size,
             slice.size > 0 ? (const char *)slice.data : "");
    replace(pattern, "{\\\n", '?');
    const struct mr_slice rest = fuzz_take(bytes, 1000);
    char *text = must_alloc(rest.size + 1);
    memcpy(text, rest.data != NULL ? rest.data : "", rest.size);
    for (size_t i = 0; i < rest.size; i++) {
        text[i] = text[i] == '\0' ? '\n' : text[i];
    }
    text[rest.size] = '\0';
    fuzz_file_make(&file, mr_slice_of(text, rest.size));
    char *list[] = {name, end, pattern, file.path, NULL};
    const bool is_good = regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) == 0;
    const int status = run(0, 4, list);
    if (is_good) {
        const size_t size = expected_output(&expression, text, rest.size, expected);
        MUST(pread(output, got, sizeof got, 0) == (ssize_t)size);
        MUST(memcmp(got, expected, size) == 0);
        MUST(status == (size > 0 ? 0 : 1));
        regfree(&expression);
    } else {
        MUST(status == EXIT_USAGE);
    }
    MUST(close(file.descriptor) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {data, size};
    if (fuzz_flag(&bytes)) {
        run_grep(&bytes);
    } else {
        run_any(&bytes);
    }
    return 0;
}
