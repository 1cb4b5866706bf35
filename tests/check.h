/* SPDX-License-Identifier: MIT
 *
 * What every behaviour test includes: Criterion; or, with CHECK_MINI, a small runner with the same
 * spelling for where Criterion cannot go (sanitizers, valgrind, cross builds).
 *
 * The small runner forks each test from a process that never has a second thread, ends it with
 * exit() so that a leak found there fails it, and writes TAP. It knows the part of Criterion that
 * is below; every assertion takes a printf-style message as further arguments.
 */
#ifndef CHECK_H
#define CHECK_H

#ifdef NDEBUG
#error "tests are built without NDEBUG, or they would test nothing"
#endif

#ifndef CHECK_MINI

#include <criterion/criterion.h>

#else

#include <stdbool.h>
#include <string.h>

#ifdef STOOK_COVERAGE
#include <unistd.h>
/* else the counts of a process that does not return from main() would be lost */
extern void __gcov_dump(void);
#define _exit(status) (__gcov_dump(), _exit(status))
#endif

struct check_options {
    double timeout; /* seconds; 0: a minute */
    int signal;     /* that the test is expected to die of; 0: none */
    int exit_code;  /* that it is expected to end with */
    void (*init)(void);
    void (*fini)(void);
    bool disabled;
    char reserved; /* set first, so that no option at all is no empty initializer */
};

struct check_test {
    const char *suite;
    const char *name;
    void (*run)(void);
    struct check_options options;
    struct check_test *next;
};

void check_register(struct check_test *test);

/* Any thread. Ends the process at once if fatal, else fails the test when it ends. */
void check_failed(bool fatal, const char *file, int line, const char *what, const char *format,
                  ...);

/* Test(suite, name) or Test(suite, name, .timeout = 5, ...) { ... } */
#define Test(...) CHECK_TEST(__VA_ARGS__, )
#define CHECK_TEST(suite, name, ...)                                                               \
    static void suite##_##name(void);                                                              \
    __attribute__((constructor)) static void suite##_##name##_register(void)                       \
    {                                                                                              \
        static struct check_test test = {                                                          \
            #suite, #name, suite##_##name, {.reserved = 0, __VA_ARGS__}, 0};                       \
        check_register(&test);                                                                     \
    }                                                                                              \
    static void suite##_##name(void)

/* The "" behind the variable arguments stands in for a message that was not given; behind one that
 * was, printf ignores it. */
#define CHECK(fatal, condition, what, ...)                                                         \
    ((condition) ? (void)0 : check_failed(fatal, __FILE__, __LINE__, what, __VA_ARGS__))
#define CHECK_IS(fatal, want, a, ...)                                                              \
    CHECK(fatal, !(a) == !(want), (want) ? #a : "not " #a, __VA_ARGS__)
#define CHECK_OP(fatal, a, op, b, ...) CHECK(fatal, (a)op(b), #a " " #op " " #b, __VA_ARGS__)
#define CHECK_STR(fatal, a, op, b, ...)                                                            \
    CHECK(fatal, strcmp(a, b) op 0, #a " " #op " " #b, __VA_ARGS__)
#define CHECK_ARR(fatal, a, b, size, ...)                                                          \
    CHECK(fatal, memcmp(a, b, size) == 0, "bytes of " #a " == " #b, __VA_ARGS__)

#define cr_assert(...) CHECK_IS(true, true, __VA_ARGS__, "")
#define cr_assert_not(...) CHECK_IS(true, false, __VA_ARGS__, "")
#define cr_assert_null(...) CHECK_IS(true, false, __VA_ARGS__, "")
#define cr_assert_not_null(...) CHECK_IS(true, true, __VA_ARGS__, "")
#define cr_assert_eq(a, ...) CHECK_OP(true, a, ==, __VA_ARGS__, "")
#define cr_assert_neq(a, ...) CHECK_OP(true, a, !=, __VA_ARGS__, "")
#define cr_assert_lt(a, ...) CHECK_OP(true, a, <, __VA_ARGS__, "")
#define cr_assert_leq(a, ...) CHECK_OP(true, a, <=, __VA_ARGS__, "")
#define cr_assert_gt(a, ...) CHECK_OP(true, a, >, __VA_ARGS__, "")
#define cr_assert_geq(a, ...) CHECK_OP(true, a, >=, __VA_ARGS__, "")
#define cr_assert_str_eq(a, ...) CHECK_STR(true, a, ==, __VA_ARGS__, "")
#define cr_assert_str_neq(a, ...) CHECK_STR(true, a, !=, __VA_ARGS__, "")
#define cr_assert_arr_eq(a, b, ...) CHECK_ARR(true, a, b, __VA_ARGS__, "")
#define cr_assert_fail(...) check_failed(true, __FILE__, __LINE__, "reached", "" __VA_ARGS__)

#define cr_expect(...) CHECK_IS(false, true, __VA_ARGS__, "")
#define cr_expect_not(...) CHECK_IS(false, false, __VA_ARGS__, "")
#define cr_expect_null(...) CHECK_IS(false, false, __VA_ARGS__, "")
#define cr_expect_not_null(...) CHECK_IS(false, true, __VA_ARGS__, "")
#define cr_expect_eq(a, ...) CHECK_OP(false, a, ==, __VA_ARGS__, "")
#define cr_expect_neq(a, ...) CHECK_OP(false, a, !=, __VA_ARGS__, "")
#define cr_expect_lt(a, ...) CHECK_OP(false, a, <, __VA_ARGS__, "")
#define cr_expect_leq(a, ...) CHECK_OP(false, a, <=, __VA_ARGS__, "")
#define cr_expect_gt(a, ...) CHECK_OP(false, a, >, __VA_ARGS__, "")
#define cr_expect_geq(a, ...) CHECK_OP(false, a, >=, __VA_ARGS__, "")
#define cr_expect_str_eq(a, ...) CHECK_STR(false, a, ==, __VA_ARGS__, "")
#define cr_expect_str_neq(a, ...) CHECK_STR(false, a, !=, __VA_ARGS__, "")
#define cr_expect_arr_eq(a, b, ...) CHECK_ARR(false, a, b, __VA_ARGS__, "")
#define cr_expect_fail(...) check_failed(false, __FILE__, __LINE__, "reached", "" __VA_ARGS__)

#endif
#endif
