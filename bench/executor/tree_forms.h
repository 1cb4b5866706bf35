/* SPDX-License-Identifier: MIT
 *
 * The sequential kernels, in the form that kernels.h asks for: FORM(name) names a function,
 * FORM_ATTRIBUTE is before each. No include guard: it is included once for each form.
 */

FORM_ATTRIBUTE static uint64_t FORM(fib)(uint64_t n)
{
    if (n < 2) {
        return n;
    }
    uint64_t left = FORM(fib)(n - 1);
    uint64_t right = FORM(fib)(n - 2);
    return left + right;
}

FORM_ATTRIBUTE static uint64_t FORM(queens)(uint32_t all, struct board board)
{
    if (board.columns == all) {
        return 1;
    }
    uint64_t found = 0;
    for (uint32_t free = board_free(all, board); free; free &= free - 1) {
        found += FORM(queens)(all, board_with(board, free & -free));
    }
    return found;
}

FORM_ATTRIBUTE static uint64_t FORM(uts)(uint64_t state, unsigned depth)
{
    unsigned children = uts_children(state, depth);
    uint64_t nodes = 1;
    for (unsigned i = 0; i < children; i++) {
        nodes += FORM(uts)(uts_child(state, i), depth - 1);
    }
    return nodes;
}

FORM_ATTRIBUTE static uint64_t FORM(skynet)(uint64_t first, uint64_t leaves)
{
    if (leaves == 1) {
        return first;
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < SKYNET_WAYS; i++) {
        sum += FORM(skynet)(first + i * (leaves / SKYNET_WAYS), leaves / SKYNET_WAYS);
    }
    return sum;
}

FORM_ATTRIBUTE static void FORM(multiply)(struct product whole)
{
    if (product_is_leaf(whole)) {
        product_leaf(whole);
        return;
    }
    struct product half[2];
    product_split(whole, half);
    FORM(multiply)(half[0]);
    FORM(multiply)(half[1]);
}
