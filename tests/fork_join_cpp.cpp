/* SPDX-License-Identifier: MIT
 *
 * Fork and join from C++, where the functions are those of the library: a fib() and a loop over
 * std::vector, with callbacks of C linkage, and nothing else that C++ could not do.
 */
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include <stook/stook.h>

namespace
{

void must(bool condition, const char *what)
{
    if (!condition) {
        std::fprintf(stderr, "failed: %s\n", what);
        std::abort();
    }
}

struct Fib {
    int n;
    long result;
};

long fib(stook_here *here, int n);

struct Sum {
    const std::vector<long> *items;
    std::size_t begin, end;
    long result;
};

void add_up(stook_here *here, Sum &sum);

} // namespace

extern "C" {

static void fib_fork(stook_here *here, void *arg)
{
    Fib *whole = static_cast<Fib *>(arg);

    whole->result = fib(here, whole->n);
}

static void sum_fork(stook_here *here, void *arg)
{
    add_up(here, *static_cast<Sum *>(arg));
}
}

namespace
{

long fib(stook_here *here, int n)
{
    if (n < 2) {
        return n;
    }
    Fib right = {n - 2, 0};
    const long left = fib(stook_fork(here, fib_fork, &right), n - 1);
    return left + (stook_join(here) ? fib(here, n - 2) : right.result);
}

/* Splits in halves where somebody wants them, or the range is long. */
void add_up(stook_here *here, Sum &sum)
{
    const std::size_t length = sum.end - sum.begin;

    if (length < 2 || (length < 500 && !stook_fork_is_wanted(here))) {
        const auto begin = sum.items->begin();

        sum.result = std::accumulate(begin + static_cast<std::ptrdiff_t>(sum.begin),
                                     begin + static_cast<std::ptrdiff_t>(sum.end), 0L);
        return;
    }
    Sum left = {sum.items, sum.begin, sum.begin + length / 2, 0};
    Sum right = {sum.items, left.end, sum.end, 0};
    stook_invoke(here, sum_fork, &left, sum_fork, &right);
    sum.result = left.result + right.result;
}

void check(unsigned workers)
{
    stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = nullptr;
    std::vector<long> items(100000);
    std::vector<long> expected = {0, 1};

    options.workers = workers;
    must(stook_executor_create(&options, &executor) == STOOK_OK, "create");
    for (int n = 0; n < 23; n++) {
        Fib whole = {n, -1};

        must(stook_executor_run(executor, fib_fork, &whole) == STOOK_OK, "run");
        must(whole.result == expected[static_cast<std::size_t>(n)], "fib");
        expected.push_back(expected[expected.size() - 2] + expected.back());
    }
    std::iota(items.begin(), items.end(), 0L);
    for (int i = 0; i < 20; i++) {
        Sum sum = {&items, 0, items.size(), -1};

        must(stook_executor_run(executor, sum_fork, &sum) == STOOK_OK, "run");
        must(sum.result == 100000L * 99999 / 2, "sum");
    }
    stook_executor_destroy(executor);
}

} // namespace

int main()
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        check(workers);
    }
    return 0;
}
