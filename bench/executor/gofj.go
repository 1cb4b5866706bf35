// SPDX-License-Identifier: MIT
//
// Go, measured as harness.h and submit.h do it: a goroutine for each task, a WaitGroup for each join,
// a channel for each future; the kernels are in kernels.go.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	wrongResult, cannot, mostRuns    = 3, 4, 50
	pingsPerSample, stormSteps, idle = 8, 400, time.Millisecond
)

// --- timing ----------------------------------------------------------------------------------------

var (
	name                string
	workers, size, runs int
	budget, wall, cpu   time.Duration
	began               time.Time
	beganCPU            time.Duration
	values              []float64
	seq, p99, submit    = math.NaN(), math.NaN(), math.NaN()
	result              uint64
)

func cpuTime() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func start() {
	beganCPU, began = cpuTime(), time.Now()
}

func stop() float64 {
	passed := time.Since(began)
	wall += passed
	cpu += cpuTime() - beganCPU
	return float64(passed.Nanoseconds())
}

func forget() {
	values, wall, cpu = nil, 0, 0
}

func goesOn(leastRuns int, budget time.Duration) bool {
	return len(values) < leastRuns || len(values) < mostRuns && wall < budget
}

func expect(found, expected uint64) {
	if found != expected {
		fmt.Fprintf(os.Stderr, "wrong result in %s: %d, not %d\n", name, found, expected)
		os.Exit(wrongResult)
	}
}

func timedRun(w *workload, run func() uint64) {
	w.prepare()
	start()
	result = run()
	ns := stop()
	if w.digest != nil {
		result = w.digest()
	}
	if w.isRate {
		values = append(values, w.amount/ns*1000)
	} else {
		values = append(values, ns/w.amount)
	}
}

func measure(w *workload) {
	for goesOn(3, 20*time.Millisecond) {
		timedRun(w, w.sequential)
	}
	seq = sortedAt(values, 0.5)
	expected := result
	timedRun(w, w.parallel)
	expect(result, expected)
	forget()
	for goesOn(runs, budget) {
		timedRun(w, w.parallel)
		expect(result, expected)
	}
}

func sortedAt(samples []float64, part float64) float64 {
	sort.Float64s(samples)
	return samples[int(float64(len(samples)-1)*part)]
}

func latencies(samples []float64) {
	values = append(values, sortedAt(samples, 0.5)/1000)
	p99 = sortedAt(samples, 0.99) / 1000
}

// --- tasks from outside ----------------------------------------------------------------------------

var calls []uint32
var sink uint64

func work(state uint64) {
	for step := 0; step < stormSteps; step++ {
		state = mix(state)
	}
	if state == 0 {
		sink++
	}
}

func checkCalls() {
	for i := range calls {
		expect(uint64(calls[i]), 1)
		calls[i] = 0
	}
}

func produce(first, end int, isStorm bool) time.Time {
	var group sync.WaitGroup
	group.Add(end - first)
	for i := first; i < end; i++ {
		i := i
		go func() {
			if isStorm {
				work(uint64(i + 1))
			}
			calls[i]++
			group.Done()
		}()
	}
	submitted := time.Now()
	group.Wait()
	return submitted
}

func producers(producers int, isStorm bool) float64 {
	half := size / producers
	second := make(chan time.Time, 1)
	start()
	if producers == 2 {
		go func() { second <- produce(half, size, false) }()
	}
	submitted := produce(0, half, isStorm)
	if producers == 2 {
		if other := <-second; other.After(submitted) {
			submitted = other
		}
	}
	ns := stop()
	part := float64(submitted.Sub(began).Nanoseconds()) / float64(size)
	if !(submit < part) {
		submit = part
	}
	checkCalls()
	return ns
}

func measureProducers(count int) {
	producers(count, false)
	forget()
	for goesOn(runs, budget) {
		values = append(values, producers(count, false)/float64(size))
	}
}

func residentBytes() float64 {
	text, _ := os.ReadFile("/proc/self/smaps_rollup")
	_, rest, _ := strings.Cut(string(text), "Rss:")
	kilobytes, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kilobytes * 1024
}

func measurePending() {
	var group sync.WaitGroup
	gate := make(chan struct{})
	runtime.GC()
	before := residentBytes()
	group.Add(size)
	for i := 0; i < size; i++ {
		i := i
		go func() {
			<-gate
			calls[i]++
			group.Done()
		}()
	}
	values = append(values, (residentBytes()-before)/float64(size))
	close(gate)
	group.Wait()
	checkCalls()
}

func roundTrips(pause time.Duration, perSample int) {
	samples := make([]float64, size)
	done := make(chan struct{}, 1)
	for round := range samples {
		if pause > 0 {
			time.Sleep(pause)
		}
		before := time.Now()
		for i := 0; i < perSample; i++ {
			go func() { done <- struct{}{} }()
			<-done
		}
		samples[round] = float64(time.Since(before).Nanoseconds()) / float64(perSample)
	}
	latencies(samples)
}

func measureStorm() {
	start()
	for i := 0; i < size; i++ {
		work(uint64(i + 1))
	}
	seq = stop() / 1000
	forget()
	for goesOn(runs, budget) {
		time.Sleep(2 * idle)
		values = append(values, producers(1, true)/1000)
	}
	submit = math.NaN()
}

func measureIdle() {
	forkFib(20)
	time.Sleep(10 * time.Millisecond)
	before := cpuTime()
	time.Sleep(time.Duration(size) * time.Millisecond)
	values = append(values, float64((cpuTime()-before).Nanoseconds())/1e6)
}

func measureOther() {
	calls = make([]uint32, size)
	switch name {
	case "single":
		measureProducers(1)
	case "two_producers":
		measureProducers(2)
	case "pending":
		measurePending()
	case "ping":
		roundTrips(0, pingsPerSample)
	case "handoff":
		roundTrips(0, 1)
	case "parked":
		roundTrips(idle, 1)
	case "storm":
		measureStorm()
	case "idle":
		measureIdle()
	default:
		fmt.Println("no such case")
		os.Exit(cannot)
	}
}

func number(x float64) string {
	if math.IsNaN(x) {
		return "null"
	}
	return strconv.FormatFloat(x, 'g', 6, 64)
}

func main() {
	numbers := [4]int{}
	for i := range numbers {
		numbers[i], _ = strconv.Atoi(os.Args[i+2])
	}
	name, workers, size, runs = os.Args[1], numbers[0], numbers[1], numbers[2]
	budget = time.Duration(numbers[3]) * time.Millisecond
	runtime.GOMAXPROCS(workers)
	if w := workloadNamed(name, size); w != nil {
		measure(w)
	} else {
		measureOther()
	}
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = number(value)
	}
	cores := math.NaN()
	if wall > 0 {
		cores = float64(cpu) / float64(wall)
	}
	fmt.Printf("{\"values\": [%s], \"seq\": %s, \"cores\": %s, \"p99\": %s, \"submit\": %s, "+
		"\"result\": %d}\n", strings.Join(list, ", "), number(seq), number(cores), number(p99),
		number(submit), result)
}
