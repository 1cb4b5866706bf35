/* SPDX-License-Identifier: MIT
 *
 * /proc/self/cgroup names the own group in each hierarchy, /proc/self/mountinfo tells where the
 * hierarchies are mounted and which group is the root of a mount. A process in a container often
 * sees only a part of either, so what does not fit together, cannot be read or is not understood
 * means: no limit.
 */
#define _POSIX_C_SOURCE 200809L
#include "cgroup.h"
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The stack may be small. Longer lines and paths than these are as good as not there. */
enum { CHUNK_BYTES = 512, LINE_BYTES = 2048, PATH_BYTES = 1024, VALUE_BYTES = 64 };

enum version { VERSION_1, VERSION_2 };

/* --- files ------------------------------------------------------------------------------------ */

struct reader {
    int file;
    size_t next, end; /* of the chunk */
    char chunk[CHUNK_BYTES];
    char line[LINE_BYTES];
};

static int open_below(const char *root, const char *name)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s", root, name);

    return length > 0 && length < PATH_BYTES ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static bool read_char(struct reader *reader, char *ret_char)
{
    if (reader->next == reader->end) {
        ssize_t count = read(reader->file, reader->chunk, sizeof reader->chunk);
        if (count <= 0) {
            return false;
        }
        reader->next = 0;
        reader->end = (size_t)count;
    }
    *ret_char = reader->chunk[reader->next++];
    return true;
}

/* Puts the next line that is not too long into `line`; false: there is none. */
static bool read_line(struct reader *reader)
{
    size_t length;
    bool any;

    do {
        char next;
        length = 0;
        any = false;
        while (read_char(reader, &next)) {
            any = true;
            if (next == '\n') {
                break;
            }
            if (length < sizeof reader->line) {
                reader->line[length++] = next;
            }
        }
    } while (any && length == sizeof reader->line);
    reader->line[any ? length : 0] = '\0';
    return any;
}

/* --- quotas ----------------------------------------------------------------------------------- */

static bool parse_number(const char **at, uint64_t *ret_number)
{
    const char *begin = *at;
    uint64_t number = 0;

    for (; **at >= '0' && **at <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return *at > begin;
}

/* Reads "QUOTA\n" or, with two numbers, "QUOTA PERIOD\n"; anything else, "max" and "-1" too, is
 * false. */
static bool read_numbers(const char *group, const char *name, uint64_t numbers[], size_t count)
{
    char text[VALUE_BYTES];
    const char *at = text;
    int file = open_below(group, name);

    if (file < 0) {
        return false;
    }
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0 || length == VALUE_BYTES - 1) {
        return false;
    }
    text[length] = '\0';
    for (size_t i = 0; i < count; i++) {
        if ((i > 0 && *at++ != ' ') || !parse_number(&at, &numbers[i])) {
            return false;
        }
    }
    return strcmp(at, "\n") == 0 || *at == '\0';
}

static unsigned limit_of_group(const char *group, enum version version)
{
    uint64_t numbers[2]; /* microseconds of CPU time that are granted, in so many */
    bool found = version == VERSION_2
                     ? read_numbers(group, "/cpu.max", numbers, 2)
                     : read_numbers(group, "/cpu.cfs_quota_us", &numbers[0], 1) &&
                           read_numbers(group, "/cpu.cfs_period_us", &numbers[1], 1);

    if (!found || numbers[1] == 0) {
        return 0;
    }
    uint64_t cpus = numbers[0] / numbers[1] + (numbers[0] % numbers[1] != 0);
    return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

static unsigned tighter(unsigned a, unsigned b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Whether the list "a,b,c" has the word. */
static bool list_has(const char *list, size_t length, const char *word)
{
    size_t word_length = strlen(word);
    const char *end = list + length;

    while (list <= end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - list) == word_length && memcmp(list, word, word_length) == 0) {
            return true;
        }
        list = stop + 1;
    }
    return false;
}

/* The own group's path in the hierarchy that has the CPU controller: of lines as
 * "4:cpu,cpuacct:/a/b" (version 1) or "0::/a/b". */
static bool find_group(const char *root, enum version version, char ret_path[PATH_BYTES])
{
    struct reader reader = {.file = open_below(root, "/proc/self/cgroup")};
    bool found = false;

    if (reader.file < 0) {
        return false;
    }
    while (!found && read_line(&reader)) {
        const char *list = strchr(reader.line, ':');
        const char *path = list ? strchr(++list, ':') : NULL;
        if (!path || path[1] != '/' || strlen(path + 1) >= PATH_BYTES) {
            continue;
        }
        size_t length = (size_t)(path - list);
        found = version == VERSION_2 ? length == 0 && reader.line[0] == '0'
                                     : list_has(list, length, "cpu");
        if (found) {
            memcpy(ret_path, path + 1, strlen(path + 1) + 1);
        }
    }
    close(reader.file);
    return found;
}

struct mount {
    const char *root;  /* the group that is the root of the mount */
    const char *point; /* where it is mounted */
};

static char *next_word(char **at)
{
    char *word = *at;
    char *end = word + strcspn(word, " ");

    *at = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* Turns "\040" and its like, by which mountinfo writes blanks, back. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* "33 31 0:29 ROOT POINT rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct"; true if it is a
 * mount of the hierarchy that is looked for. Cuts the line into pieces. */
static bool parse_mount(char *line, enum version version, struct mount *ret_mount)
{
    char *words[5];
    const char *word;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        words[i] = next_word(&line);
    }
    do {
        word = next_word(&line);
    } while (*word && strcmp(word, "-") != 0);
    const char *type = next_word(&line);
    next_word(&line); /* the source */
    const char *options = next_word(&line);
    unescape(words[3]);
    unescape(words[4]);
    *ret_mount = (struct mount){words[3], words[4]};
    return version == VERSION_2
               ? strcmp(type, "cgroup2") == 0
               : strcmp(type, "cgroup") == 0 && list_has(options, strlen(options), "cpu");
}

/* What of the group's path is below the mount point; NULL: the mount does not show that group. */
static const char *place_in_mount(const struct mount *mount, const char *group)
{
    size_t length = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);

    if (strncmp(group, mount->root, length) != 0) {
        return NULL;
    }
    const char *place = group + length;
    bool is_outside = strncmp(place, "/..", 3) == 0 && (place[3] == '/' || !place[3]);
    return is_outside || (*place && *place != '/') ? NULL : place;
}

/* The limit of the group at `place` below the mount point, and of all between the two. */
static unsigned limit_up_to(const char *root, const struct mount *mount, const char *place,
                            enum version version)
{
    char path[PATH_BYTES];
    size_t top = strlen(root) + strlen(mount->point);
    int written = snprintf(path, sizeof path, "%s%s%s", root, mount->point, place);
    unsigned limit = 0;

    if (written < 0 || written >= PATH_BYTES) {
        return 0;
    }
    for (size_t length = (size_t)written;; length--) {
        if (length == top || path[length] == '/' || !path[length]) {
            path[length] = '\0';
            limit = tighter(limit, limit_of_group(path, version));
        }
        if (length == top) {
            return limit;
        }
    }
}

static unsigned limit_of_version(const char *root, enum version version)
{
    char group[PATH_BYTES];
    struct reader reader = {.file = -1};
    unsigned limit = 0;
    unsigned guess =
        0; /* from mounts that do not show the group: perhaps they show some above it */
    bool is_shown = false;

    if (find_group(root, version, group)) {
        reader.file = open_below(root, "/proc/self/mountinfo");
    }
    if (reader.file < 0) {
        return 0;
    }
    while (read_line(&reader)) {
        struct mount mount;
        if (!parse_mount(reader.line, version, &mount)) {
            continue;
        }
        const char *place = place_in_mount(&mount, group);
        if (place) {
            is_shown = true;
            limit = tighter(limit, limit_up_to(root, &mount, place, version));
        } else {
            guess = tighter(guess, limit_up_to(root, &mount, "", version));
        }
    }
    close(reader.file);
    return is_shown ? limit : guess;
}

unsigned stook__cgroup_cpu_limit(const char *root)
{
    return tighter(limit_of_version(root, VERSION_2), limit_of_version(root, VERSION_1));
}
