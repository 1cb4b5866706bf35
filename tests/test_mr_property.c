/* SPDX-License-Identifier: MIT
 *
 * Random jobs in all their forms give what a model and the sequential form give: whatever the numbers
 * of workers, partitions and ranks, the chunk, the memory limit, the order and what is cut off, the
 * combiner, the reducer and the items that fail.
 */
#include "check.h"
#include "mr_random.h"

enum { SMALL_ITEMS = 200, LARGE_ITEMS = 30000 };

struct trial {
    struct mr_job job;
    struct mr_keys keys;
    struct spec spec;
    uint64_t *items;
    size_t next;
    struct bag emitted;  /* by key, then value */
    struct bag expected; /* without order: by key, then value */
    uint64_t distinct;
    uint64_t bad;
};

static int next_number(struct mr_slice *ret_item, void *user)
{
    struct trial *trial = user;

    if (trial->next == trial->spec.items) {
        return 0;
    }
    *ret_item = mr_slice_of(&trial->items[trial->next++], sizeof trial->items[0]);
    return 1;
}

/* --- the model --------------------------------------------------------------------------------- */

static void model_map(struct trial *trial)
{
    struct emission emissions[MOST_EMITS];

    for (uint64_t item = 0; item < trial->spec.items; item++) {
        unsigned count = emissions_of(&trial->spec, item, emissions);
        if (fate_of(&trial->spec, item) == FATE_BAD) {
            trial->bad++;
            continue;
        }
        for (unsigned i = 0; i < count; i++) {
            bag_add(&trial->emitted, &trial->job, emissions[i].pair.key, emissions[i].pair.value);
        }
    }
    if (trial->emitted.count > 0) {
        qsort(trial->emitted.all, trial->emitted.count, sizeof *trial->emitted.all, by_bytes);
    }
}

static void model_keep(struct trial *trial, struct mr_slice key, struct mr_slice value)
{
    bag_add(&trial->expected, &trial->job, key, value);
    if (trial->spec.reduce == REDUCE_LIST && slice_digest(key) % 4 == 0) {
        bag_add(&trial->expected, &trial->job, mr_slice_of(key.data, key.size > 0), value);
    }
}

/* Pairs begin to end have the same key. */
static void model_group(struct trial *trial, size_t begin, size_t end)
{
    const struct mr_slice key = trial->emitted.all[begin].pair.key;
    struct digest sum = {0, 0};

    trial->distinct++;
    for (size_t i = begin; i < end; i++) {
        const struct digest share = share_of(&trial->spec, trial->emitted.all[i].pair.value);
        sum.count += share.count;
        sum.sum += share.sum;
        if (trial->job.combine == NULL && trial->spec.reduce != REDUCE_SUM) {
            model_keep(trial, key, trial->emitted.all[i].pair.value);
        }
    }
    if (trial->spec.reduce == REDUCE_SUM) {
        model_keep(trial, key, mr_slice_of(&sum, sizeof sum));
    } else if (trial->job.combine != NULL) { /* the sum looks like the values */
        model_keep(trial, key,
                   mr_slice_of(&sum, trial->spec.values == VALUES_U64 ? 8 : sizeof sum));
    }
}

static void model_run(struct trial *trial)
{
    const struct model_pair *all = NULL;

    model_map(trial);
    all = trial->emitted.all;
    for (size_t begin = 0; begin < trial->emitted.count;) {
        size_t end = begin + 1;
        while (end < trial->emitted.count &&
               slice_compare(all[end].pair.key, all[begin].pair.key) == 0) {
            end++;
        }
        model_group(trial, begin, end);
        begin = end;
    }
    if (trial->expected.count > 0) {
        qsort(trial->expected.all, trial->expected.count, sizeof *trial->expected.all,
              trial->job.order == MR_ORDER_NONE ? by_bytes : by_order);
    }
}

/* --- random jobs ------------------------------------------------------------------------------- */

static void choose_functions(struct trial *trial, uint64_t *random, bool is_large)
{
    static const uint32_t some_partitions[] = {0, 1, 2, 3, 7, 16, 63, 64};
    struct mr_job *job = &trial->job;
    struct spec *spec = &trial->spec;

    spec->values = (enum values_kind)random_below(random, 3);
    if (spec->values != VALUES_ANY && random_below(random, 3) > 0) {
        job->combine = spec->values == VALUES_U64 ? mr_sum_u64 : fuzz_combine;
    }
    /* how often a combiner is called is not for a list to show */
    spec->reduce = (enum reduce_kind)random_below(random, job->combine != NULL ? 2 : 3);
    job->map = random_map;
    job->reduce = spec->reduce == REDUCE_NONE ? NULL : random_reduce;
    job->order = (enum mr_order)random_below(random, 3);
    job->compare = random_below(random, 2) == 0 ? mr_by_count : longest_value_first;
    if (random_below(random, 4) == 0) {
        trial->keys = (struct mr_keys){length_hash, length_compare};
        job->keys = &trial->keys;
    }
    if (random_below(random, 4) == 0) {
        job->partition = first_byte_partition;
    }
    job->partitions = some_partitions[random_below(random, COUNT_OF(some_partitions))];
    /* what is to exceed the limit: long values, else long keys */
    spec->key_count = is_large && spec->values != VALUES_ANY
                          ? UINT32_MAX
                          : 1 + random_below(random, 1u << random_below(random, 12));
    spec->has_long = is_large || random_below(random, 3) == 0;
}

static void choose_failures(struct trial *trial, uint64_t *random)
{
    struct spec *spec = &trial->spec;

    spec->attempts = random_below(random, 4);
    spec->fails = spec->attempts > 1;
    spec->has_bad = random_below(random, 4) == 0;
}

static void choose_input(struct trial *trial, uint64_t *random, bool is_large)
{
    static const size_t chunks[] = {1, 2, 3, 50, 1000, MR_CHUNK_AUTO};
    struct spec *spec = &trial->spec;

    spec->items = is_large ? LARGE_ITEMS : random_below(random, SMALL_ITEMS);
    trial->items = must_alloc(spec->items * sizeof trial->items[0]);
    spec->tries = must_alloc(spec->items * sizeof spec->tries[0]);
    for (size_t i = 0; i < spec->items; i++) {
        trial->items[i] = i;
    }
    trial->job.input = random_below(random, 4) == 0
                           ? mr_input_iterator(next_number, trial)
                           : mr_input_array(trial->items, spec->items, sizeof trial->items[0]);
    trial->job.input.chunk =
        chunks[is_large ? 3 + random_below(random, 3) : random_below(random, COUNT_OF(chunks))];
}

static void trial_init(struct trial *trial, uint64_t *random, bool is_large)
{
    static const struct mr_job empty = MR_JOB_INIT;

    memset(trial, 0, sizeof *trial);
    trial->job = empty;
    trial->job.user = &trial->spec;
    trial->spec.seed = random_next(random);
    choose_functions(trial, random, is_large);
    choose_failures(trial, random);
    choose_input(trial, random, is_large);
    model_run(trial);
    trial->job.attempts = trial->spec.attempts;
    trial->job.most_bad_items = trial->bad;
    if (random_below(random, 3) == 0) {
        trial->job.top = 1 + random_below(random, 2 * (unsigned)trial->expected.count + 2);
    }
}

static void trial_free(struct trial *trial)
{
    bag_free(&trial->emitted);
    bag_free(&trial->expected);
    free(trial->spec.tries);
    free(trial->items);
}

static void explain(const struct trial *trial, unsigned workers)
{
    const struct mr_job *job = &trial->job;

    fprintf(stderr,
            "workers %u partitions %u chunk %zu limit %llu order %d top %llu combine %d reduce %d "
            "attempts %u bad %llu ranks %u items %zu iterator %d keys %d values %d\n",
            workers, (unsigned)job->partitions, job->input.chunk,
            (unsigned long long)job->memory_limit, (int)job->order, (unsigned long long)job->top,
            job->combine != NULL, (int)trial->spec.reduce, (unsigned)job->attempts,
            (unsigned long long)trial->bad, (unsigned)job->ranks, trial->spec.items,
            job->input.next != NULL, job->keys != NULL, (int)trial->spec.values);
}

/* --- what is compared -------------------------------------------------------------------------- */

static bool agrees(const struct trial *trial, mr_result *result)
{
    const struct bag *expected = &trial->expected;
    const bool is_cut = trial->job.top > 0 && trial->job.top < expected->count;
    const bool is_ordered = trial->job.order != MR_ORDER_NONE;
    size_t count;
    size_t at = 0;
    struct mr_pair *pairs = drain(result, &count);
    bool same = count == (is_cut ? trial->job.top : expected->count);

    if (!same) {
        fprintf(stderr, "%zu pairs instead of %zu\n", count, expected->count);
    }
    if (!is_ordered) {
        qsort(pairs, count, sizeof *pairs, pair_compare);
    }
    for (size_t i = 0; i < count && same; i++, at++) {
        while (is_cut && !is_ordered && at < expected->count &&
               pair_compare(&pairs[i], &expected->all[at].pair) != 0) {
            at++; /* any of them are the first ones */
        }
        same = at < expected->count && pair_compare(&pairs[i], &expected->all[at].pair) == 0;
        if (!same) {
            fprintf(stderr, "pair %zu of %zu differs\n", i, count);
        }
    }
    free(pairs);
    return same;
}

static bool is_consistent(const struct trial *trial, const struct mr_stats *stats,
                          uint64_t result_count)
{
    const bool has_groups = trial->job.combine || trial->job.reduce;
    const bool is_right = stats->items == trial->spec.items &&
                          stats->pairs == trial->emitted.count &&
                          (!has_groups || stats->distinct_keys == trial->distinct) &&
                          stats->results == result_count && stats->bad_items == trial->bad &&
                          stats->largest_partition <= stats->distinct_keys &&
                          (stats->spills > 0) == (stats->spilled_bytes > 0);
    if (!is_right) {
        fprintf(stderr,
                "items %llu pairs %llu keys %llu (not %llu) results %llu bad %llu spills %llu\n",
                (unsigned long long)stats->items, (unsigned long long)stats->pairs,
                (unsigned long long)stats->distinct_keys, (unsigned long long)trial->distinct,
                (unsigned long long)stats->results, (unsigned long long)stats->bad_items,
                (unsigned long long)stats->spills);
    }
    return is_right;
}

/* Runs it in the form that trial->job has by now; *ret_spills += its spills. */
static bool trial_holds(struct trial *trial, stook_executor *executor, uint64_t *ret_spills)
{
    struct mr_error error;
    struct mr_stats stats;
    mr_result *result;
    mr_run *run = NULL;
    bool holds;

    trial->next = 0;
    for (size_t i = 0; i < trial->spec.items; i++) {
        atomic_store(&trial->spec.tries[i], 0);
    }
    if (executor == NULL) {
        result = must_run(NULL, &trial->job);
        holds = agrees(trial, result);
        mr_result_destroy(result);
        return holds;
    }
    MUST(mr_submit(executor, &trial->job, &run, NULL) == STOOK_OK);
    if (mr_run_wait(run, STOOK_FOREVER, &error) != STOOK_OK) {
        die("job failed", error.message);
    }
    mr_run_stats(run, &stats);
    *ret_spills += stats.spills;
    result = mr_run_take_result(run);
    holds = is_consistent(trial, &stats, mr_result_count(result));
    mr_run_release(run);
    holds = agrees(trial, result) && holds;
    mr_result_destroy(result);
    return holds;
}

/* Times $STOOK_STRESS_SCALE. */
#if UNDER_TSAN || UNDER_MSAN
enum { SMALL_ROUNDS = 40, LARGE_ROUNDS = 6 };
#else
enum { SMALL_ROUNDS = 100, LARGE_ROUNDS = 12 };
#endif

static void small_rounds(unsigned workers, unsigned rounds, uint64_t *random)
{
    stook_executor *executor = must_create(workers);
    uint64_t spills = 0;

    for (unsigned round = 0; round < rounds; round++) {
        struct trial trial;
        trial_init(&trial, random, false);
        bool holds = trial_holds(&trial, NULL, NULL) && trial_holds(&trial, executor, &spills);
        trial.job.memory_limit = random_below(random, 2) * MR_LEAST_MEMORY;
        if (trial.job.keys == NULL) {
            for (trial.job.ranks = 1; holds && trial.job.ranks <= 5; trial.job.ranks++) {
                holds = trial_holds(&trial, executor, &spills);
            }
        }
        if (!holds) {
            explain(&trial, workers);
        }
        cr_assert(holds);
        trial_free(&trial);
    }
    stook_executor_destroy(executor);
}

Test(mr_property, B77_small_jobs_of_any_form_give_what_the_model_gives, .timeout = 300)
{
    uint64_t random = test_seed();

    for (unsigned workers = 1; workers <= 4; workers++) {
        small_rounds(workers, stress_scaled(SMALL_ROUNDS), &random);
    }
}

Test(mr_property, B77_jobs_beyond_their_memory_give_what_the_model_gives, .timeout = 300)
{
    uint64_t random = test_seed();

    for (unsigned round = 0; round < stress_scaled(LARGE_ROUNDS); round++) {
        const unsigned workers = 1 + round % 4;
        stook_executor *executor = must_create(workers);
        uint64_t spills = 0;
        struct trial trial;
        trial_init(&trial, &random, true);
        bool holds = trial_holds(&trial, executor, &spills);
        cr_expect_eq(spills, 0);
        trial.job.memory_limit = MR_LEAST_MEMORY;
        trial.job.ranks = trial.job.keys == NULL ? random_below(&random, 6) : 0;
        holds = holds && trial_holds(&trial, executor, &spills);
        if (!holds || spills == 0) {
            explain(&trial, workers);
        }
        cr_assert(holds);
        cr_assert_gt(spills, 0);
        trial_free(&trial);
        stook_executor_destroy(executor);
    }
}
