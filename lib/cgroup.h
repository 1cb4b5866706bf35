/* SPDX-License-Identifier: MIT
 *
 * What the control groups of Linux leave this process of the machine's CPUs: versions 1 and 2, and
 * both at once.
 */
#ifndef STOOK_CGROUP_H
#define STOOK_CGROUP_H

/* CPUs that the tightest quota of the own group and of those above it gives, rounded up; 0: none
 * can be found. Paths begin with `root`, "" for the system's own; tests give a tree of theirs.
 * Cannot fail, allocates nothing. Any thread. */
unsigned stook__cgroup_cpu_limit(const char *root);

#endif
