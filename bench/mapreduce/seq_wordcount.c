/* SPDX-License-Identifier: MIT
 *
 * What a good C programmer writes to count words in one thread: the file in memory, one loop, one
 * open-addressing table of pointers into the text. No part of Stook is in it: it is a peer, and the
 * reference of results.
 *
 * usage: seq_wordcount FILE      prints WORD<TAB>COUNT lines, in no order
 *        seq_wordcount --digest  reads such lines, prints how many there are, and a sum of their
 *                                hashes that does not depend on their order
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct entry {
    const unsigned char *word; /* NULL: free */
    uint32_t size;
    uint32_t hash;
    uint64_t count;
};

static struct entry *table;
static size_t capacity, used;

static uint64_t hash_of(const unsigned char *at, size_t size)
{
    uint64_t hash = size * 0x9e3779b97f4a7c15U;
    uint64_t word = 0;

    for (; size >= 8; at += 8, size -= 8) {
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdU;
        hash ^= hash >> 32;
    }
    for (word = 0; size > 0; size--) {
        word = word << 8 | *at++;
    }
    hash = (hash ^ word) * 0xc4ceb9fe1a85ec53U;
    return hash ^ hash >> 29;
}

static struct entry *slot_of(const unsigned char *word, uint32_t size, uint32_t hash)
{
    size_t i = hash & (capacity - 1);

    while (table[i].word && (table[i].hash != hash || table[i].size != size ||
                             memcmp(table[i].word, word, size) != 0)) {
        i = (i + 1) & (capacity - 1);
    }
    return &table[i];
}

static void grow(void)
{
    struct entry *old = table;
    size_t old_capacity = capacity;

    capacity = capacity ? capacity * 2 : 1 << 16;
    table = calloc(capacity, sizeof *table);
    if (!table) {
        exit(1);
    }
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].word) {
            *slot_of(old[i].word, old[i].size, old[i].hash) = old[i];
        }
    }
    free(old);
}

static int is_space(unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int count_words(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status) != 0) {
        perror(path);
        return 1;
    }
    size_t size = (size_t)status.st_size;
    const unsigned char *at = mmap(NULL, size + !size, PROT_READ, MAP_PRIVATE, file, 0);
    const unsigned char *end = at + size;
    while (at < end) {
        while (at < end && is_space(*at)) {
            at++;
        }
        const unsigned char *word = at;
        while (at < end && !is_space(*at)) {
            at++;
        }
        if (at == word) {
            break;
        }
        if (used * 2 >= capacity) {
            grow();
        }
        uint32_t length = (uint32_t)(at - word);
        uint32_t hash = (uint32_t)hash_of(word, length);
        struct entry *entry = slot_of(word, length, hash);
        if (!entry->word) {
            *entry = (struct entry){word, length, hash, 0};
            used++;
        }
        entry->count++;
    }
    static char buffer[1 << 17];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (size_t i = 0; i < capacity; i++) {
        if (table[i].word) {
            fwrite(table[i].word, 1, table[i].size, stdout);
            printf("\t%llu\n", (unsigned long long)table[i].count);
        }
    }
    return fflush(stdout) != 0;
}

static int digest(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    uint64_t sum = 0, lines = 0;

    while ((size = getline(&line, &room, stdin)) > 0) {
        sum += hash_of((unsigned char *)line, (size_t)size);
        lines++;
    }
    free(line);
    printf("%llu %016llx\n", (unsigned long long)lines, (unsigned long long)sum);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    return strcmp(argv[1], "--digest") == 0 ? digest() : count_words(argv[1]);
}
