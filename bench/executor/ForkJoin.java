// SPDX-License-Identifier: MIT
//
// Java's ForkJoinPool, measured as harness.h and submit.h do it; the kernels are in Kernels.java.

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.Future;
import java.util.concurrent.RecursiveAction;

@SuppressWarnings("serial")
final class ForkJoin {
    static final int WRONG_RESULT = 3, CANNOT = 4, MOST_RUNS = 50, BULK = 1000, STORM_STEPS = 400;
    static final int PINGS_PER_SAMPLE = 8;
    static final long WARM_NS = 400_000_000, PARK_NS = 1_000_000;
    static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    static ForkJoinPool pool;

    // --- timing ---------------------------------------------------------------------------------

    static String name;
    static int workers, size, runs, count;
    static long budgetNs, wallNs, cpuNs, beganNs, beganCpuNs, result;
    static double[] values = new double[MOST_RUNS];
    static double seq = Double.NaN, p99 = Double.NaN, submit = Double.NaN;

    static void start() {
        beganCpuNs = SYSTEM.getProcessCpuTime();
        beganNs = System.nanoTime();
    }

    static double stop() {
        long passedNs = System.nanoTime() - beganNs;
        wallNs += passedNs;
        cpuNs += SYSTEM.getProcessCpuTime() - beganCpuNs;
        return passedNs;
    }

    static boolean goesOn() {
        return count < runs || count < MOST_RUNS && wallNs < budgetNs;
    }

    static void forget() {
        count = 0;
        wallNs = cpuNs = 0;
        submit = Double.NaN;
    }

    static void expect(long found, long expected) {
        if (found != expected) {
            System.err.printf("wrong result in %s: %d, not %d%n", name, found, expected);
            System.exit(WRONG_RESULT);
        }
    }

    static double timedRun(Kernels.Workload workload, Kernels.Form form) throws Exception {
        workload.prepare.run();
        start();
        result = form.run();
        double ns = stop();
        if (workload.digest != null) {
            result = workload.digest.run();
        }
        return workload.isRate ? workload.amount / ns * 1000 : ns / workload.amount;
    }

    static void runFor(Kernels.Workload workload, Kernels.Form form, int leastRuns, long ns) throws Exception {
        forget();
        while (count < leastRuns || count < MOST_RUNS && wallNs < ns) {
            values[count++] = timedRun(workload, form);
        }
    }

    static void measure(Kernels.Workload workload) throws Exception {
        runFor(workload, workload.sequential, 3, WARM_NS / 4);
        runFor(workload, workload.sequential, 3, 20_000_000);
        seq = sortedAt(Arrays.copyOf(values, count), 0.5);
        long expected = result;
        runFor(workload, workload.parallel, 2, WARM_NS);
        expect(result, expected);
        forget();
        while (goesOn()) {
            double value = timedRun(workload, workload.parallel);
            expect(result, expected);
            values[count++] = value;
        }
    }

    static double sortedAt(double[] sorted, double part) {
        Arrays.sort(sorted);
        return sorted[(int) ((sorted.length - 1) * part)];
    }

    static void latencies(double[] samples) {
        values[count++] = sortedAt(samples, 0.5) / 1000;
        p99 = sortedAt(samples, 0.99) / 1000;
    }

    // --- tasks from outside ---------------------------------------------------------------------

    static int[] calls;
    static int heldTasks, workSteps;
    static final CountDownLatch GATE = new CountDownLatch(1);
    static Future<?>[] futures;

    static final class Numbered extends RecursiveAction implements Callable<Void> {
        final int i;

        Numbered(int i) {
            this.i = i;
        }

        @Override protected void compute() {
            if (i < heldTasks) {
                try {
                    GATE.await();
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            }
            if (workSteps > 0 && work(i + 1) == 0) {
                result = i;
            }
            calls[i]++;
        }

        @Override public Void call() {
            compute();
            return null;
        }
    }

    static long work(long state) {
        for (int step = 0; step < workSteps; step++) {
            state = Kernels.mix(state);
        }
        return state;
    }

    static void checkCalls(int tasks) {
        for (int i = 0; i < tasks; i++) {
            expect(calls[i], 1);
            calls[i] = 0;
        }
    }

    /** Submits and awaits tasks; returns when all had been submitted. */
    static long produce(int first, int tasks, boolean isBulk) throws Exception {
        int end = first + tasks;
        if (isBulk) {
            for (int i = first; i < end; i += BULK) {
                List<Numbered> bulk = new ArrayList<>(BULK);
                for (int j = i; j < Math.min(i + BULK, end); j++) {
                    bulk.add(new Numbered(j));
                }
                pool.invokeAll(bulk);
            }
            return System.nanoTime();
        }
        for (int i = first; i < end; i++) {
            futures[i] = pool.submit((ForkJoinTask<Void>) new Numbered(i));
        }
        long submittedNs = System.nanoTime();
        for (int i = first; i < end; i++) {
            futures[i].get();
            futures[i] = null;
        }
        return submittedNs;
    }

    static double producers(boolean isBulk, int producers) throws Exception {
        int half = size / producers;
        long[] submittedNs = new long[2];
        Thread second = new Thread(() -> {
            try {
                submittedNs[1] = produce(half, size - half, isBulk);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        start();
        if (producers == 2) {
            second.start();
        }
        submittedNs[0] = produce(0, half, isBulk);
        second.join();
        double ns = stop();
        double part = (Math.max(submittedNs[0], submittedNs[1]) - beganNs) / (double) size;
        submit = isBulk || submit < part ? submit : part;
        checkCalls(size);
        return ns;
    }

    static void measureProducers(boolean isBulk, int producers) throws Exception {
        do {
            producers(isBulk, producers);
        } while (wallNs < WARM_NS);
        forget();
        while (goesOn()) {
            values[count++] = producers(isBulk, producers) / size;
        }
    }

    static double usedBytes() {
        Runtime runtime = Runtime.getRuntime();
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return runtime.totalMemory() - runtime.freeMemory();
    }

    static void measurePending() throws Exception {
        heldTasks = workers;
        for (int i = 0; i < workers; i++) {
            futures[i] = pool.submit((ForkJoinTask<Void>) new Numbered(i));
        }
        double before = usedBytes();
        for (int i = workers; i < size + workers; i++) {
            futures[i] = pool.submit((ForkJoinTask<Void>) new Numbered(i));
        }
        values[count++] = (usedBytes() - before) / size;
        GATE.countDown();
        for (int i = 0; i < size + workers; i++) {
            futures[i].get();
        }
        checkCalls(size + workers);
    }

    static void measureRoundTrips(long idleNs) throws Exception {
        double[] samples = new double[size];
        int warm = idleNs > 0 ? 0 : 20_000;
        for (int round = -warm; round < size; round++) {
            if (idleNs > 0) {
                Thread.sleep(idleNs / 1_000_000);
            }
            long before = System.nanoTime();
            pool.submit((ForkJoinTask<Void>) new Numbered(0)).get();
            samples[Math.max(round, 0)] = System.nanoTime() - before;
            checkCalls(1);
        }
        latencies(samples);
    }

    static final class Nothing extends RecursiveAction {
        @Override protected void compute() {
        }
    }

    static void ping() {
        for (int pass = 0; pass < 2; pass++) {
            double[] samples = new double[size];
            for (int i = 0; i < size; i++) {
                long before = System.nanoTime();
                for (int j = 0; j < PINGS_PER_SAMPLE; j++) {
                    Nothing child = new Nothing();
                    child.fork();
                    child.join();
                }
                samples[i] = (System.nanoTime() - before) / (double) PINGS_PER_SAMPLE;
            }
            count = 0;
            latencies(samples);
        }
    }

    static void measureStorm() throws Exception {
        workSteps = STORM_STEPS;
        do {
            producers(true, 1);
        } while (wallNs < WARM_NS);
        forget();
        start();
        for (int i = 0; i < size; i++) {
            result += work(i + 1) & 1;
        }
        seq = stop() / 1000;
        result = 0;
        forget();
        while (goesOn()) {
            Thread.sleep(2 * PARK_NS / 1_000_000);
            values[count++] = producers(true, 1) / 1000;
        }
    }

    /** Of all threads that there are; exact, while getProcessCpuTime() goes by 10 ms. */
    static long threadsCpuNs() throws IOException {
        long ns = 0;
        try (DirectoryStream<Path> threads = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path thread : threads) {
                ns += Long.parseLong(Files.readString(thread.resolve("schedstat")).split(" ")[0]);
            }
        }
        return ns;
    }

    static void measureIdle() throws Exception {
        pool.invoke(new Kernels.Fib(20));
        threadsCpuNs();
        Thread.sleep(10);
        long before = threadsCpuNs();
        Thread.sleep(size);
        values[count++] = (threadsCpuNs() - before) / 1e6;
    }

    static boolean measureOther() throws Exception {
        switch (name) {
        case "single":
            measureProducers(false, 1);
            break;
        case "two_producers":
            measureProducers(false, 2);
            break;
        case "bulk":
            measureProducers(true, 1);
            break;
        case "two_producers_bulk":
            measureProducers(true, 2);
            break;
        case "pending":
            measurePending();
            break;
        case "handoff":
            measureRoundTrips(0);
            break;
        case "parked":
            measureRoundTrips(PARK_NS);
            break;
        case "storm":
            measureStorm();
            break;
        case "ping":
            pool.submit(ForkJoin::ping).get();
            break;
        case "idle":
            measureIdle();
            break;
        default:
            return false;
        }
        return true;
    }

    static String number(double x) {
        return Double.isNaN(x) ? "null" : String.format("%.6g", x);
    }

    public static void main(String[] args) throws Exception {
        name = args[0];
        workers = Integer.parseInt(args[1]);
        size = Integer.parseInt(args[2]);
        runs = Integer.parseInt(args[3]);
        budgetNs = Long.parseLong(args[4]) * 1_000_000;
        pool = new ForkJoinPool(workers);
        Kernels.Workload workload = Kernels.workload(name, size);
        if (workload != null) {
            measure(workload);
        } else {
            calls = new int[size + workers];
            futures = new Future<?>[size + workers];
            if (!measureOther()) {
                System.out.println("no such case");
                System.exit(CANNOT);
            }
        }
        StringBuilder list = new StringBuilder();
        for (int i = 0; i < count; i++) {
            list.append(i > 0 ? ", " : "").append(number(values[i]));
        }
        System.out.printf("{\"values\": [%s], \"seq\": %s, \"cores\": %s, \"p99\": %s, "
                          + "\"submit\": %s, \"result\": %s}%n",
                          list, number(seq), number(wallNs > 0 ? (double) cpuNs / wallNs : Double.NaN),
                          number(p99), number(submit), Long.toUnsignedString(result));
        System.exit(0);
    }
}
