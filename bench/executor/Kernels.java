// SPDX-License-Identifier: MIT
//
// The kernels of kernels.h: the sequential forms, which are Java's own, and the tasks.

import java.util.Arrays;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.RecursiveAction;
import java.util.concurrent.RecursiveTask;
import java.util.stream.IntStream;

@SuppressWarnings("serial")
final class Kernels {
    static final int UTS_MOST = 100, UTS_ROOT = 42, SKYNET_WAYS = 10, MATMUL_LEAF = 16;

    static long mix(long x) {
        x = (x ^ (x >>> 30)) * 0xbf58476d1ce4e5b9L;
        x = (x ^ (x >>> 27)) * 0x94d049bb133111ebL;
        return x ^ (x >>> 31);
    }

    // --- kernels: the sequential form and the tasks ---------------------------------------------

    static long fib(int n) {
        return n < 2 ? n : fib(n - 1) + fib(n - 2);
    }

    static final class Fib extends RecursiveTask<Long> {
        final int n;

        Fib(int n) {
            this.n = n;
        }

        long result() {
            if (n < 2) {
                return n;
            }
            Fib right = new Fib(n - 2);
            right.fork();
            return new Fib(n - 1).result() + right.join();
        }

        @Override protected Long compute() {
            return result();
        }
    }

    static long futureFib(int n) {
        if (n < 2) {
            return n;
        }
        ForkJoinTask<Long> right = ForkJoin.pool.submit(() -> futureFib(n - 2));
        return futureFib(n - 1) + right.join();
    }

    static long queens(int all, int columns, int left, int right) {
        if (columns == all) {
            return 1;
        }
        long found = 0;
        for (int free = all & ~(columns | left | right); free != 0; free &= free - 1) {
            int queen = free & -free;
            found += queens(all, columns | queen, (left | queen) << 1, (right | queen) >>> 1);
        }
        return found;
    }

    static long queensBelow(int all, int columns, int left, int right) {
        long below = 0;
        for (int free = all & ~(columns | left | right); free != 0; free &= free - 1) {
            int queen = free & -free;
            below += 1 + queensBelow(all, columns | queen, (left | queen) << 1, (right | queen) >>> 1);
        }
        return below;
    }

    static long joinAll(RecursiveTask<Long>[] tasks, int count) {
        long sum = 0;
        while (count-- > 0) {
            sum += tasks[count].join();
        }
        return sum;
    }

    static final class Queens extends RecursiveTask<Long> {
        final int all, columns, left, right;

        Queens(int all, int columns, int left, int right) {
            this.all = all;
            this.columns = columns;
            this.left = left;
            this.right = right;
        }

        @Override protected Long compute() {
            if (columns == all) {
                return 1L;
            }
            int free = all & ~(columns | left | right), count = 0;
            Queens[] tasks = new Queens[Integer.bitCount(free)];
            for (; free != 0; free &= free - 1) {
                int queen = free & -free;
                tasks[count] =
                    new Queens(all, columns | queen, (left | queen) << 1, (right | queen) >>> 1);
                tasks[count++].fork();
            }
            return joinAll(tasks, count);
        }
    }

    static int utsChildren(long state, int depth) {
        long drawn = state >>> 32, limit = 1L << 32;
        int children = 0;
        if (depth == 0) {
            return 0;
        }
        for (; children < UTS_MOST; children++) {
            limit = limit / 5 * 4;
            if (drawn >= limit) {
                break;
            }
        }
        return children;
    }

    static long utsChild(long state, int i) {
        return mix(state + (i + 1) * 0x9e3779b97f4a7c15L);
    }

    static long uts(long state, int depth) {
        int children = utsChildren(state, depth);
        long nodes = 1;
        for (int i = 0; i < children; i++) {
            nodes += uts(utsChild(state, i), depth - 1);
        }
        return nodes;
    }

    static final class Uts extends RecursiveTask<Long> {
        final long state;
        final int depth;

        Uts(long state, int depth) {
            this.state = state;
            this.depth = depth;
        }

        @Override protected Long compute() {
            Uts[] tasks = new Uts[utsChildren(state, depth)];
            for (int i = 0; i < tasks.length; i++) {
                tasks[i] = new Uts(utsChild(state, i), depth - 1);
                tasks[i].fork();
            }
            return 1 + joinAll(tasks, tasks.length);
        }
    }

    static long skynet(long first, long leaves) {
        if (leaves == 1) {
            return first;
        }
        long sum = 0;
        for (int i = 0; i < SKYNET_WAYS; i++) {
            sum += skynet(first + i * (leaves / SKYNET_WAYS), leaves / SKYNET_WAYS);
        }
        return sum;
    }

    static final class Skynet extends RecursiveTask<Long> {
        final long first, leaves;

        Skynet(long first, long leaves) {
            this.first = first;
            this.leaves = leaves;
        }

        @Override protected Long compute() {
            if (leaves == 1) {
                return first;
            }
            Skynet[] tasks = new Skynet[SKYNET_WAYS];
            for (int i = 0; i < SKYNET_WAYS; i++) {
                tasks[i] = new Skynet(first + i * (leaves / SKYNET_WAYS), leaves / SKYNET_WAYS);
                tasks[i].fork();
            }
            return joinAll(tasks, SKYNET_WAYS);
        }
    }

    static double[] a, b, c;
    static int stride;

    static final class Product extends RecursiveAction {
        final int a0, b0, c0, rows, inner, columns;

        Product(int a0, int b0, int c0, int rows, int inner, int columns) {
            this.a0 = a0;
            this.b0 = b0;
            this.c0 = c0;
            this.rows = rows;
            this.inner = inner;
            this.columns = columns;
        }

        boolean isLeaf() {
            return rows <= MATMUL_LEAF && inner <= MATMUL_LEAF && columns <= MATMUL_LEAF;
        }

        boolean isSum() {
            return !(rows >= columns && rows >= inner) && columns < inner;
        }

        Product half(boolean second) {
            int low;
            if (rows >= columns && rows >= inner) {
                low = rows / 2;
                return second ? new Product(a0 + low * stride, b0, c0 + low * stride, rows - low,
                                            inner, columns)
                              : new Product(a0, b0, c0, low, inner, columns);
            }
            if (columns >= inner) {
                low = columns / 2;
                return second ? new Product(a0, b0 + low, c0 + low, rows, inner, columns - low)
                              : new Product(a0, b0, c0, rows, inner, low);
            }
            low = inner / 2;
            return second ? new Product(a0 + low, b0 + low * stride, c0, rows, inner - low, columns)
                          : new Product(a0, b0, c0, rows, low, columns);
        }

        void leaf() {
            for (int i = 0; i < rows; i++) {
                for (int k = 0; k < inner; k++) {
                    double factor = a[a0 + i * stride + k];
                    int from = b0 + k * stride, to = c0 + i * stride;
                    for (int j = 0; j < columns; j++) {
                        c[to + j] += factor * b[from + j];
                    }
                }
            }
        }

        void sequential() {
            if (isLeaf()) {
                leaf();
                return;
            }
            half(false).sequential();
            half(true).sequential();
        }

        long forks() {
            return isLeaf() ? 0 : (isSum() ? 0 : 1) + half(false).forks() + half(true).forks();
        }

        @Override protected void compute() {
            if (isLeaf()) {
                leaf();
            } else if (isSum()) {
                half(false).compute();
                half(true).compute();
            } else {
                Product second = half(true);
                second.fork();
                half(false).compute();
                second.join();
            }
        }
    }

    static int[] numbers;
    static long[] keys, unsortedKeys;

    // --- workloads ------------------------------------------------------------------------------

    interface Form {
        long run() throws Exception;
    }

    /** As struct workload; here the size is known already. */
    static final class Workload {
        Form sequential, parallel, digest;
        Runnable prepare = () -> {};
        double amount;
        boolean isRate;
    }

    static int power(int base, int exponent) {
        return exponent == 0 ? 1 : base * power(base, exponent - 1);
    }

    static Workload tree(Form sequential, RecursiveTaskMaker parallel, double tasks) {
        Workload workload = new Workload();
        workload.sequential = sequential;
        workload.parallel = () -> ForkJoin.pool.invoke(parallel.make());
        workload.amount = tasks;
        return workload;
    }

    interface RecursiveTaskMaker {
        RecursiveTask<Long> make();
    }

    static Workload workload(String name, int n) {
        int all = (1 << n) - 1;
        switch (name) {
        case "fib":
            return tree(() -> fib(n), () -> new Fib(n), fib(n + 1) - 1);
        case "future_fib": {
            Workload futures = tree(() -> fib(n), null, fib(n + 1) - 1);
            futures.parallel = () -> ForkJoin.pool.submit(() -> futureFib(n)).join();
            return futures;
        }
        case "nqueens":
            return tree(() -> queens(all, 0, 0, 0), () -> new Queens(all, 0, 0, 0),
                        queensBelow(all, 0, 0, 0));
        case "uts":
            return tree(() -> uts(UTS_ROOT, n), () -> new Uts(UTS_ROOT, n), uts(UTS_ROOT, n) - 1);
        case "skynet":
            return tree(() -> skynet(0, power(SKYNET_WAYS, n)),
                        () -> new Skynet(0, power(SKYNET_WAYS, n)),
                        (power(SKYNET_WAYS, n) - 1) / (SKYNET_WAYS - 1) * (double) SKYNET_WAYS);
        case "matmul":
            return matmul(n);
        case "sum":
            return sum(n);
        case "sort":
            return sort(n);
        default:
            return null;
        }
    }

    static Workload matmul(int n) {
        Workload workload = new Workload();
        a = new double[n * n];
        b = new double[n * n];
        c = new double[n * n];
        stride = n;
        for (int i = 0; i < n * n; i++) {
            a[i] = Long.remainderUnsigned(mix(i), 16);
            b[i] = Long.remainderUnsigned(mix(i + 1), 16);
        }
        workload.prepare = () -> Arrays.fill(c, 0);
        workload.sequential = () -> {
            new Product(0, 0, 0, n, n, n).sequential();
            return 0;
        };
        workload.parallel = () -> {
            ForkJoin.pool.invoke(new Product(0, 0, 0, n, n, n));
            return 0;
        };
        workload.digest = () -> {
            long digest = 0;
            for (double x : c) {
                digest = mix(digest + (long) x);
            }
            return digest;
        };
        workload.amount = new Product(0, 0, 0, n, n, n).forks();
        return workload;
    }

    static Workload sum(int n) {
        Workload workload = new Workload();
        numbers = new int[n];
        for (int i = 0; i < n; i++) {
            numbers[i] = (int) mix(i);
        }
        workload.sequential = () -> {
            long sum = 0;
            for (int number : numbers) {
                sum += number & 0xffffffffL;
            }
            return sum;
        };
        workload.parallel = () ->
            ForkJoin.pool.submit(() -> IntStream.range(0, n).parallel()
                                       .mapToLong(i -> numbers[i] & 0xffffffffL).sum()).get();
        workload.amount = 4.0 * n;
        workload.isRate = true;
        return workload;
    }

    static Workload sort(int n) {
        Workload workload = new Workload();
        keys = new long[n];
        unsortedKeys = new long[n];
        for (int i = 0; i < n; i++) {
            unsortedKeys[i] = mix(i) >>> 1;
        }
        workload.prepare = () -> System.arraycopy(unsortedKeys, 0, keys, 0, n);
        workload.sequential = () -> {
            Arrays.sort(keys);
            return 0;
        };
        workload.parallel = () -> {
            ForkJoin.pool.submit(() -> Arrays.parallelSort(keys)).get();
            return 0;
        };
        workload.digest = () -> {
            long digest = 0;
            for (long key : keys) {
                digest = mix(digest + key);
            }
            return digest;
        };
        workload.amount = 8.0 * n;
        workload.isRate = true;
        return workload;
    }
}
