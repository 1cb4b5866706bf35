/* SPDX-License-Identifier: MIT
 *
 * The regular files below some paths. A stack holds the paths that are still to be looked at, the
 * next one on top; a directory is read whole, closed, and its names pushed, the last one first. So
 * there is one descriptor at a time, however deep a tree is, and no recursion.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mr_internal.h"

struct mr_tree {
    struct mr_source *sources;
    size_t count;
    size_t capacity;
};

struct entry {
    char *path;
    bool is_directory;
};

struct walk {
    mr_tree *tree;
    struct entry *stack;
    size_t count;
    size_t capacity;
    char *message;
    size_t message_size;
};

static enum stook_status fail(const struct walk *walk, const char *path, int code)
{
    char text[MR_PATH_TEXT];
    char reason[MR_REASON_TEXT];

    if (walk->message && walk->message_size > 0) {
        snprintf(walk->message, walk->message_size, "cannot read directory %s: %s",
                 mr__path_text(path, text), mr__reason_text(code, reason));
    }
    return code == ENOMEM ? STOOK_NOMEM : STOOK_IO;
}

static enum stook_status fail_memory(const struct walk *walk)
{
    if (walk->message && walk->message_size > 0) {
        snprintf(walk->message, walk->message_size, "%s", stook_status_string(STOOK_NOMEM));
    }
    return STOOK_NOMEM;
}

/* Makes room for one more in an array. */
static bool reserve(void **array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) {
        return true;
    }
    size_t more = *capacity ? *capacity * 2 : 16;
    void *bigger = more <= SIZE_MAX / 2 / size ? realloc(*array, more * size) : NULL;
    if (!bigger) {
        return false;
    }
    *array = bigger;
    *capacity = more;
    return true;
}

/* Takes the path over, also on failure. */
static bool push(struct walk *walk, char *path, bool is_directory)
{
    void *stack = walk->stack;

    if (!path || !reserve(&stack, walk->count, &walk->capacity, sizeof *walk->stack)) {
        free(path);
        return false;
    }
    walk->stack = stack;
    walk->stack[walk->count++] = (struct entry){.path = path, .is_directory = is_directory};
    return true;
}

static bool add_source(mr_tree *tree, char *path)
{
    void *sources = tree->sources;

    if (!reserve(&sources, tree->count, &tree->capacity, sizeof *tree->sources)) {
        free(path);
        return false;
    }
    tree->sources = sources;
    tree->sources[tree->count++] = (struct mr_source){.path = path};
    return true;
}

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory);
    const char *slash = size > 0 && directory[size - 1] == '/' ? "" : "/";
    size_t room = size + strlen(name) + 2;
    char *path = malloc(room);

    if (path) {
        snprintf(path, room, "%s%s%s", directory, slash, name);
    }
    return path;
}

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *bytes = malloc(size);
    return bytes ? memcpy(bytes, text, size) : NULL;
}

/* --- one directory ---------------------------------------------------------------------------- */

/* Pushes a name if it is a directory or a regular file. */
static enum stook_status push_name(struct walk *walk, const char *directory, int file,
                                   const char *name)
{
    struct stat status;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return STOOK_OK;
    }
    if (fstatat(file, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? STOOK_OK : fail(walk, directory, errno); /* removed meanwhile */
    }
    if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
        return STOOK_OK;
    }
    return push(walk, join(directory, name), S_ISDIR(status.st_mode)) ? STOOK_OK
                                                                      : fail_memory(walk);
}

static enum stook_status push_names(struct walk *walk, const char *path, DIR *directory)
{
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe) own */
        if (!entry) {
            return errno ? fail(walk, path, errno) : STOOK_OK;
        }
        status = push_name(walk, path, dirfd(directory), entry->d_name);
    }
    return status;
}

/* The last one first; the paths differ in their names only. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    return strcmp(y->path, x->path);
}

static enum stook_status read_directory(struct walk *walk, const char *path, bool is_below)
{
    size_t first = walk->count;
    int file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (is_below ? O_NOFOLLOW : 0));
    DIR *directory = file >= 0 ? fdopendir(file) : NULL;

    if (!directory) {
        int code = errno;
        if (file >= 0) {
            close(file);
        }
        return is_below && code == ENOENT ? STOOK_OK : fail(walk, path, code); /* as above */
    }
    enum stook_status status = push_names(walk, path, directory);
    closedir(directory);
    if (status == STOOK_OK && walk->count > first) {
        qsort(walk->stack + first, walk->count - first, sizeof *walk->stack, compare_entries);
    }
    return status;
}

/* Takes all from the stack. */
static enum stook_status walk_all(struct walk *walk)
{
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK && walk->count > 0) {
        struct entry entry = walk->stack[--walk->count];
        if (entry.is_directory) {
            status = read_directory(walk, entry.path, true);
            free(entry.path);
        } else if (!add_source(walk->tree, entry.path)) {
            status = fail_memory(walk);
        }
    }
    return status;
}

/* --- the tree --------------------------------------------------------------------------------- */

static enum stook_status walk_path(struct walk *walk, const char *path)
{
    struct stat status;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        enum stook_status walked = read_directory(walk, path, false);
        return walked == STOOK_OK ? walk_all(walk) : walked;
    }
    char *copied = copy(path);
    return copied && add_source(walk->tree, copied) ? STOOK_OK : fail_memory(walk);
}

enum stook_status mr_tree_open(const char *const *paths, size_t count, mr_tree **ret_tree,
                               char *message, size_t size)
{
    struct walk walk = {.message = message, .message_size = size};
    enum stook_status status = STOOK_OK;

    walk.tree = calloc(1, sizeof *walk.tree);
    if (!walk.tree) {
        return fail_memory(&walk);
    }
    for (size_t i = 0; status == STOOK_OK && i < count; i++) {
        status = walk_path(&walk, paths[i]);
    }
    while (walk.count > 0) {
        free(walk.stack[--walk.count].path);
    }
    free(walk.stack);
    if (status != STOOK_OK) {
        mr_tree_close(walk.tree);
        return status;
    }
    *ret_tree = walk.tree;
    return STOOK_OK;
}

const struct mr_source *mr_tree_sources(const mr_tree *tree, size_t *ret_count)
{
    static const struct mr_source none;

    *ret_count = tree->count;
    return tree->sources ? tree->sources : &none;
}

static void free_path(const char *path)
{
    union {
        const char *constant;
        char *own;
    } either = {.constant = path};

    free(either.own);
}

void mr_tree_close(mr_tree *tree)
{
    if (!tree) {
        return;
    }
    for (size_t i = 0; i < tree->count; i++) {
        free_path(tree->sources[i].path);
    }
    free(tree->sources);
    free(tree);
}
