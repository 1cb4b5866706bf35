/* SPDX-License-Identifier: MIT
 *
 * Trees of calls for the tests about fork and join: each visit checks that it may stand where it
 * does, on a stack of its own ancestors, and the whole tree that every call was made once.
 */
#ifndef STOOK_TESTS_FORK_TREE_H
#define STOOK_TESTS_FORK_TREE_H

#include "fork_support.h"

enum { MOST_CHILDREN = 6 };

enum tree_shape {
    TREE_RANDOM,
    TREE_BUSHY,
    TREE_LEFT,  /* a leaf is forked and a long spine called */
    TREE_RIGHT, /* a long spine is forked and a leaf called */
    TREE_SHAPES
};

struct node {
    struct tree *tree;
    struct node *parent, *children; /* the children stand in a row */
    unsigned child_count, depth;
    unsigned size; /* nodes below, itself included */
    /* Plain, as are all below: seen through forks and joins. */
    unsigned visits, seen; /* seen: what a visit has found below */
    unsigned turn;         /* of the visit; only if the tree has turns */
    bool was_made_here;    /* by who forked it */
};

struct tree {
    struct node *nodes;
    unsigned count;
    bool has_turns; /* only where visits follow one another */
    unsigned turns;
    atomic_uint made_here, made_elsewhere;
    /* What else a visit does; NULL: nothing. */
    void (*work)(stook_here *here, struct node *node);
};

static inline unsigned tree_child_count(enum tree_shape shape, uint64_t *random)
{
    switch (shape) {
    case TREE_BUSHY:
        return MOST_CHILDREN;
    case TREE_RANDOM:
        return random_below(random, 4);
    default:
        return 2;
    }
}

/* Of a spine, only one child of each node has children. */
static inline bool tree_is_leaf(enum tree_shape shape, const struct node *node)
{
    const bool is_first = node->parent == NULL || node == node->parent->children;
    const bool is_last = node->parent == NULL || node == node->parent->children + 1;

    return (shape == TREE_LEFT && !is_first) || (shape == TREE_RIGHT && !is_last);
}

static inline void tree_create(struct tree *tree, enum tree_shape shape, unsigned count,
                               uint64_t *random)
{
    unsigned made = 1;

    *tree = (struct tree){.count = count};
    tree->nodes = calloc(count, sizeof *tree->nodes);
    MUST(tree->nodes != NULL);
    for (unsigned i = 0; i < count; i++) {
        struct node *node = &tree->nodes[i];
        unsigned children = tree_is_leaf(shape, node) ? 0 : tree_child_count(shape, random);

        if (children == 0 && i + 1 == made) { /* the last that could have some */
            children = 1;
        }
        node->tree = tree;
        node->children = tree->nodes + made;
        for (; node->child_count < children && made < count; made++) {
            tree->nodes[made].parent = node;
            tree->nodes[made].depth = node->depth + 1;
            node->child_count++;
        }
    }
    for (unsigned i = count; i-- > 0;) {
        tree->nodes[i].size++;
        if (tree->nodes[i].parent) {
            tree->nodes[i].parent->size += tree->nodes[i].size;
        }
    }
}

static inline void tree_destroy(struct tree *tree)
{
    free(tree->nodes);
}

/* Is it the other one, or does it descend from it? */
static inline bool node_is_below(const struct node *node, const struct node *other)
{
    while (node && node->depth > other->depth) {
        node = node->parent;
    }
    return node == other;
}

/* What stands on the calling thread's stack: the newest visit, and the call that it waits for. */
struct tree_stack {
    const struct node *top, *awaited;
};

static _Thread_local struct tree_stack tree_stack;

static void visit(stook_here *here, void *arg);

/* A join on behalf of the newest visit. */
static inline void join_child(stook_here *here, struct node *child)
{
    tree_stack.awaited = child;
    child->was_made_here = stook_join(here);
    tree_stack.awaited = NULL;
    if (child->was_made_here) {
        visit(here, child);
    }
}

/* A call: forked, plain, or the region itself. Forks all children but the first. */
static inline void visit(stook_here *here, void *arg)
{
    struct node *node = arg;
    const struct tree_stack below = tree_stack;
    stook_here *at[MOST_CHILDREN];

    /* no call but those of the program itself, as deep as it would be alone */
    MUST(below.top == NULL || node_is_below(node, below.top));
    /* who waits for a call makes what is below that */
    MUST(below.awaited == NULL || (node != below.awaited && node_is_below(node, below.awaited)));
    tree_stack = (struct tree_stack){.top = node};
    node->visits++;
    if (node->tree->has_turns) {
        node->turn = node->tree->turns++;
    }
    if (node->tree->work) {
        node->tree->work(here, node);
    }
    node->seen = 1;
    at[0] = here;
    for (unsigned i = 1; i < node->child_count; i++) {
        at[i] = stook_fork(at[i - 1], visit, &node->children[i]);
    }
    if (node->child_count > 0) {
        visit(at[node->child_count - 1], &node->children[0]);
    }
    for (unsigned i = node->child_count; i-- > 1;) {
        join_child(at[i - 1], &node->children[i]);
        atomic_fetch_add(node->children[i].was_made_here ? &node->tree->made_here
                                                         : &node->tree->made_elsewhere,
                         1);
    }
    for (unsigned i = 0; i < node->child_count; i++) {
        node->seen += node->children[i].seen;
    }
    tree_stack = below;
}

/* Was every call made, once? */
static inline void tree_check(const struct tree *tree)
{
    for (unsigned i = 0; i < tree->count; i++) {
        MUST(tree->nodes[i].visits == 1);
        MUST(tree->nodes[i].seen == tree->nodes[i].size);
    }
}

#endif
