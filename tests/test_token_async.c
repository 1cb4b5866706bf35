/* SPDX-License-Identifier: MIT
 *
 * Tokens that no plain call cancels: a signal handler does, or their deadline; and cancellers that
 * race.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "group_support.h"

/* --- signal handlers -------------------------------------------------------------------------- */

static _Atomic(stook_token *) signal_token; /* what the handler cancels; may be NULL */
static atomic_int signals_handled;
static atomic_int signals_that_cancelled;
static atomic_int errnos_lost;

static void cancel_handler(int number)
{
    stook_token *token = atomic_load(&signal_token);
    const int saved = errno;

    (void)number;
    errno = ELOOP;
    if (stook_token_cancel(token)) {
        atomic_fetch_add(&signals_that_cancelled, 1);
    }
    if (errno != ELOOP) {
        atomic_fetch_add(&errnos_lost, 1);
    }
    errno = saved;
    atomic_fetch_add(&signals_handled, 1);
}

static void install_handler(void)
{
    struct sigaction action = {.sa_handler = cancel_handler};

    sigemptyset(&action.sa_mask);
    MUST(sigaction(SIGUSR1, &action, NULL) == 0);
}

Test(token_async, a_signal_handler_cancels_beside_blocked_waiters, .timeout = 120)
{
    enum { FUTURES = 4, ROUNDS = 100 };
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;

    install_handler();
    fill_workers(executor, &gate, 1);
    for (int round = 0; round < ROUNDS; round++) {
        stook_token *token = must_token(executor, NULL);
        struct called called = {.count = 0};
        stook_future *futures[FUTURES];
        thrd_t threads[FUTURES];

        for (int i = 0; i < FUTURES; i++) {
            futures[i] = must_submit_token(executor, token, count_task, &runs);
            must_start(&threads[i], result_thread, futures[i]);
        }
        cr_assert_eq(stook_future_on_done(futures[0], note_call, &called), STOOK_OK);
        if (round % 8 == 0) {
            give_a_chance();
        }
        atomic_store(&signal_token, token);
        errno = ENOTDIR;
        cr_assert_eq(raise(SIGUSR1), 0);
        cr_assert_eq(errno, ENOTDIR);
        for (int i = 0; i < FUTURES; i++) {
            cr_assert_eq(must_join(threads[i]), STOOK_CANCELLED);
        }
        SPIN_UNTIL(atomic_load(&called.count) == 1);
        cr_assert_not(thrd_equal(called.thread, thrd_current()), "not in the handler");
        cr_assert_eq(raise(SIGUSR1), 0);
        cr_assert_eq(atomic_load(&signals_that_cancelled), round + 1, "not a second time");
        atomic_store(&signal_token, NULL);
        release_all(futures, FUTURES);
        stook_token_release(token);
    }
    cr_assert_eq(atomic_load(&errnos_lost), 0);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* A thread in the middle of the library when the signal comes. */
struct victim {
    stook_executor *executor;
    _Atomic(pthread_t) thread;
    atomic_bool has_started, has_ended;
    atomic_int runs;
    int submitted, cancelled; /* its own */
};

static void use_a_token(struct victim *victim)
{
    enum { FUTURES = 8 };
    stook_token *token = must_token(victim->executor, NULL);
    stook_token *below = must_token(victim->executor, token);
    stook_future *futures[FUTURES];

    atomic_store(&signal_token, token);
    for (int i = 0; i < FUTURES; i++) {
        futures[i] =
            must_submit_token(victim->executor, i % 2 ? token : below, count_task, &victim->runs);
    }
    for (int i = 0; i < FUTURES; i++) {
        const enum stook_status status = stook_future_result(futures[i], NULL);

        MUST(status == STOOK_OK || status == STOOK_CANCELLED);
        victim->submitted++;
        victim->cancelled += status == STOOK_CANCELLED;
        stook_future_release(futures[i]);
    }
    atomic_store(&signal_token, NULL); /* this thread handles the signals, so none is under way */
    stook_token_release(below);
    stook_token_release(token);
}

static int victim_thread(void *arg)
{
    struct victim *victim = arg;
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    MUST(pthread_sigmask(SIG_UNBLOCK, &wanted, NULL) == 0); /* musl 1.2.3 begins with all blocked */
    atomic_store(&victim->thread, pthread_self());
    atomic_store(&victim->has_started, true);
    for (int i = 0; atomic_load(&signals_that_cancelled) < 50 || i < 300; i++) {
        use_a_token(victim);
    }
    atomic_store(&victim->has_ended, true);
    /* until no signal is sent any more */
    SPIN_UNTIL(!atomic_load(&victim->has_started));
    return 0;
}

Test(token_async, a_signal_may_come_in_the_middle_of_any_call, .timeout = 120)
{
    struct victim victim = {.executor = must_create(2)};
    thrd_t thread;

    install_handler();
    must_start(&thread, victim_thread, &victim);
    SPIN_UNTIL(atomic_load(&victim.has_started));
    while (!atomic_load(&victim.has_ended)) {
        const int handled = atomic_load(&signals_handled);

        cr_assert_eq(pthread_kill(atomic_load(&victim.thread), SIGUSR1), 0);
        SPIN_UNTIL(atomic_load(&signals_handled) > handled || atomic_load(&victim.has_ended));
    }
    atomic_store(&victim.has_started, false);
    must_join(thread);
    stook_executor_destroy(victim.executor);
    cr_assert_eq(atomic_load(&errnos_lost), 0);
    cr_assert_eq(victim.submitted, victim.cancelled + atomic_load(&victim.runs));
}

static int count_signals_blocked_task(void *arg, void **ret_value)
{
    sigset_t blocked;

    (void)ret_value;
    MUST(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0);
    *(bool *)arg = sigismember(&blocked, SIGUSR1) && sigismember(&blocked, SIGINT) &&
                   sigismember(&blocked, SIGTERM) && !sigismember(&blocked, SIGSEGV);
    return 0;
}

/* So a handler never runs in a worker or in the timer thread. */
Test(token_async, the_executors_threads_block_signals, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    bool are_blocked = false;
    stook_future *future = must_submit(executor, count_signals_blocked_task, &are_blocked);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert(are_blocked);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* --- deadlines -------------------------------------------------------------------------------- */

Test(token_async, a_deadline_cancels_running_and_queued_tasks_and_never_early, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct stoppable running = {.code = 0};
    struct called called = {.count = 0};
    atomic_int runs = 0;

    for (int round = 0; round < 5; round++) {
        const int64_t deadline = stook_deadline_after_ns(round * 20 * MILLISECOND);
        stook_token *token = must_token_until(executor, NULL, deadline);
        stook_token *plain = must_token_until(executor, NULL, STOOK_FOREVER);
        stook_future *began = must_submit_token(executor, token, stoppable_task, &running);
        stook_future *queued = must_submit_token(executor, token, count_task, &runs);

        cr_assert_eq(stook_future_on_done(queued, note_call, &called), STOOK_OK);
        while (!stook_token_cancelled(token)) {
            cr_assert_lt(stook_now_ns(), deadline + 10 * SECOND);
            thrd_yield();
        }
        cr_assert_geq(stook_now_ns(), deadline);
        cr_assert_not(stook_token_cancel(token), "the deadline was first");
        cr_assert_eq(stook_future_result(queued, NULL), STOOK_CANCELLED);
        cr_assert_neq(stook_future_result(began, NULL), STOOK_TASK_FAILED);
        SPIN_UNTIL(atomic_load(&called.count) == round + 1);
        cr_assert_not(stook_token_cancelled(plain));
        stook_future_release(began);
        stook_future_release(queued);
        stook_token_release(token);
        stook_token_release(plain);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(token_async, a_blocked_waiter_wakes_at_the_deadline_though_nobody_looks, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;

    fill_workers(executor, &gate, 1);
    for (int round = 0; round < 5; round++) {
        const int64_t deadline = stook_deadline_after_ns(10 * MILLISECOND);
        stook_token *token = must_token_until(executor, NULL, deadline);
        stook_future *queued = must_submit_token(executor, token, count_task, &runs);

        cr_assert_eq(stook_future_result(queued, NULL), STOOK_CANCELLED);
        cr_assert_geq(stook_now_ns(), deadline);
        cr_assert_lt(stook_now_ns(), deadline + 10 * SECOND);
        cr_assert(stook_token_cancelled(token));
        stook_future_release(queued);
        stook_token_release(token);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(token_async, B17_deadlines_that_have_passed_or_never_do, .timeout = 60)
{
    const int64_t passed[] = {INT64_MIN, -1, 0, 1, stook_now_ns()};
    const int64_t far[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - SECOND,
                           stook_deadline_after_ns(INT64_MAX)};
    stook_executor *executor = must_create(1);

    for (int i = 0; i < 5; i++) {
        stook_token *token = must_token_until(executor, NULL, passed[i]);

        SPIN_UNTIL(stook_token_cancelled(token));
        stook_token_release(token);
    }
    for (int i = 0; i < 4; i++) {
        stook_token *token = must_token_until(executor, NULL, far[i]);

        give_a_chance();
        cr_assert_not(stook_token_cancelled(token));
        cr_assert(stook_token_cancel(token));
        stook_token_release(token);
    }
    stook_executor_destroy(executor);
}

Test(token_async, B73_a_deadline_reaches_all_below_also_with_later_ones, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    const int64_t deadline = stook_deadline_after_ns(20 * MILLISECOND);
    stook_token *root = must_token(executor, NULL);
    stook_token *timed = must_token_until(executor, root, deadline);
    stook_token *later = must_token_until(executor, timed, stook_deadline_after_ns(1000 * SECOND));
    struct stoppable running = {.code = 0};
    stook_future *future = must_submit_token(executor, later, stoppable_task, &running);

    stook_token_release(timed);
    (void)!stook_future_result(future, NULL);
    cr_assert_geq(stook_now_ns(), deadline);
    cr_assert(stook_token_cancelled(later));
    cr_assert_not(stook_token_cancelled(root));
    stook_future_release(future);
    stook_token_release(later);
    stook_token_release(root);
    stook_executor_destroy(executor);
}

Test(token_async, tokens_may_go_before_their_deadline_in_any_order, .timeout = 60)
{
    enum { TOKENS = 400 };
    uint64_t random = 7;

    for (int round = 0; round < 5; round++) {
        stook_executor *executor = must_create(1);
        stook_token *tokens[TOKENS];
        int64_t deadlines[TOKENS];

        for (int i = 0; i < TOKENS; i++) {
            const int64_t after = random_below(&random, 4) == 0
                                      ? 1000 * SECOND
                                      : (int64_t)random_below(&random, 10) * MILLISECOND;

            deadlines[i] = stook_deadline_after_ns(after);
            if (i % 3 == 0 || random_below(&random, 2)) {
                tokens[i] = must_token_until(executor, NULL, deadlines[i]);
                continue;
            }
            tokens[i] = must_token_until(executor, tokens[i - 1], deadlines[i]);
            if (deadlines[i - 1] < deadlines[i]) {
                deadlines[i] = deadlines[i - 1]; /* the first of those above it */
            }
        }
        for (int left = TOKENS; left > 0; left--) {
            const unsigned i = random_below(&random, (unsigned)left);

            if (stook_token_cancelled(tokens[i])) {
                cr_assert_geq(stook_now_ns(), deadlines[i]);
            }
            stook_token_release(tokens[i]);
            tokens[i] = tokens[left - 1];
            deadlines[i] = deadlines[left - 1];
        }
        stook_executor_destroy(executor);
    }
}

/* --- races ------------------------------------------------------------------------------------ */

enum { RACERS = 2, RACES = 3000 };

struct race {
    stook_token *token;
    atomic_int arrived;
};

/* Cancels each token at the same moment as the other racers; gives how often it was the one. */
static int racing_thread(void *arg)
{
    struct race *races = arg;
    int wins = 0;

    for (int i = 0; i < RACES; i++) {
        const bool last = atomic_fetch_add(&races[i].arrived, 1) == RACERS - 1;

        for (int spins = 0; atomic_load(&races[i].arrived) < RACERS; spins++) {
            if (spins > 1000) {
                thrd_yield();
            }
        }
        for (volatile int delay = last ? i % 50 : 0; delay > 0;
             delay--) { /* the other comes later */
        }
        wins += stook_token_cancel(races[i].token);
    }
    return wins;
}

Test(token_async, B72_exactly_one_canceller_gets_true, .timeout = 120)
{
    static struct race races[RACES];
    stook_executor *executor = must_create(1);
    thrd_t threads[RACERS];
    int wins = 0;

    for (int i = 0; i < RACES; i++) {
        races[i].token = must_token(executor, NULL);
    }
    for (int i = 0; i < RACERS; i++) {
        must_start(&threads[i], racing_thread, races);
    }
    for (int i = 0; i < RACERS; i++) {
        wins += must_join(threads[i]);
    }
    cr_assert_eq(wins, RACES);
    for (int i = 0; i < RACES; i++) {
        cr_assert_not(stook_token_cancel(races[i].token));
        stook_token_release(races[i].token);
    }
    stook_executor_destroy(executor);
}

/* --- beside alarms that never end ------------------------------------------------------------- */

struct chain {
    stook_executor *executor;
    atomic_bool stop;
    atomic_bool has_stopped;
};

/* When its deadline, which has passed, cancels a token, the next one is made: so an alarm is due
 * whenever the timer thread has rung one. */
static void next_link(stook_future *before, void *user_data)
{
    struct chain *chain = user_data;

    (void)before;
    if (atomic_load(&chain->stop)) {
        atomic_store(&chain->has_stopped, true);
        return;
    }
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_token *token = must_token_until(chain->executor, NULL, 1);
    options.token = token;
    options.start_ns = STOOK_FOREVER;
    stook_future *future = must_submit_with(chain->executor, &options, count_task, NULL);
    MUST(stook_future_on_done(future, next_link, chain) == STOOK_OK);
    stook_future_release(future);
    stook_token_release(token);
}

static void set_flag(stook_future *future, void *flag)
{
    (void)future;
    atomic_store((atomic_bool *)flag, true);
}

Test(token_async, a_cancelled_token_is_seen_to_though_alarms_are_always_due, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct chain chain = {.executor = executor};
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_token *token = must_token(executor, NULL);
    atomic_bool is_told = false;

    options.token = token;
    options.start_ns = STOOK_FOREVER;
    stook_future *future = must_submit_with(executor, &options, count_task, NULL);
    cr_assert_eq(stook_future_on_done(future, set_flag, &is_told), STOOK_OK);
    next_link(NULL, &chain);
    give_a_chance();
    cr_assert(stook_token_cancel(token));
    const int64_t late_ns = stook_now_ns() + 20 * SECOND;
    SPIN_UNTIL(atomic_load(&is_told) || stook_now_ns() > late_ns);
    cr_expect(atomic_load(&is_told));
    atomic_store(&chain.stop, true);
    SPIN_UNTIL(atomic_load(&chain.has_stopped));
    stook_future_release(future);
    stook_token_release(token);
    stook_executor_destroy(executor);
}
