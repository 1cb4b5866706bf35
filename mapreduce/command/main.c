/* SPDX-License-Identifier: MIT
 *
 * The command `stook`: chooses the subcommand.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "command.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct subcommand subcommands[] = {
    {"grep", command_grep, "print the lines that match"},
    {"index", command_index, "tell where each word occurs"},
    {"wordcount", command_wordcount, "count the words of files"},
};

enum { SUBCOMMAND_COUNT = sizeof subcommands / sizeof subcommands[0] };

static int help(void)
{
    puts("usage: stook COMMAND [OPTION...] [FILE...]\n\ncommands:");
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        printf("  %-12s %s\n", subcommands[i].name, subcommands[i].summary);
    }
    puts("\noptions:\n"
         "  --help       show this help, or that of a command: stook COMMAND --help\n"
         "  --version    show the version");
    return command_finish_output(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        command_complain("missing command; try 'stook --help'");
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0) {
        return help();
    }
    if (strcmp(argv[1], "--version") == 0) {
        return command_version();
    }
    for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0) {
            return subcommands[i].run(argc - 1, argv + 1);
        }
    }
    command_complain("unknown %s '%s'; try 'stook --help'",
                     argv[1][0] == '-' ? "option" : "command", argv[1]);
    return EXIT_USAGE;
}
