// SPDX-License-Identifier: MIT
//
// The kernels of kernels.h: the sequential forms, which are Go's own, and the goroutines.
package main

import "sync"

const utsMost, utsRoot, skynetWays, matmulLeaf = 100, 42, 10, 16

func mix(x uint64) uint64 {
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// --- kernels: the sequential form and the tasks ---------------------------------------------------

func fib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	return fib(n-1) + fib(n-2)
}

func forkFib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	var right uint64
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		right = forkFib(n - 2)
		group.Done()
	}()
	left := forkFib(n - 1)
	group.Wait()
	return left + right
}

func futureFib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	right := make(chan uint64, 1)
	go func() { right <- futureFib(n - 2) }()
	left := futureFib(n - 1)
	return left + <-right
}

type board struct{ columns, left, right uint32 }

func (b board) free(all uint32) uint32 {
	return all &^ (b.columns | b.left | b.right)
}

func (b board) with(queen uint32) board {
	return board{b.columns | queen, (b.left | queen) << 1, (b.right | queen) >> 1}
}

func queens(all uint32, b board) uint64 {
	if b.columns == all {
		return 1
	}
	found := uint64(0)
	for free := b.free(all); free != 0; free &= free - 1 {
		found += queens(all, b.with(free&-free))
	}
	return found
}

func queensBelow(all uint32, b board) uint64 {
	below := uint64(0)
	for free := b.free(all); free != 0; free &= free - 1 {
		below += 1 + queensBelow(all, b.with(free&-free))
	}
	return below
}

func sumOf(results []uint64) uint64 {
	sum := uint64(0)
	for _, result := range results {
		sum += result
	}
	return sum
}

func forkQueens(all uint32, b board) uint64 {
	if b.columns == all {
		return 1
	}
	var results [32]uint64
	var group sync.WaitGroup
	count := 0
	for free := b.free(all); free != 0; free &= free - 1 {
		next, result := b.with(free&-free), &results[count]
		count++
		group.Add(1)
		go func() {
			*result = forkQueens(all, next)
			group.Done()
		}()
	}
	group.Wait()
	return sumOf(results[:count])
}

func utsChildren(state uint64, depth int) int {
	drawn, limit, children := state>>32, uint64(1)<<32, 0
	if depth == 0 {
		return 0
	}
	for ; children < utsMost; children++ {
		limit = limit / 5 * 4
		if drawn >= limit {
			break
		}
	}
	return children
}

func utsChild(state uint64, i int) uint64 {
	return mix(state + uint64(i+1)*0x9e3779b97f4a7c15)
}

func uts(state uint64, depth int) uint64 {
	nodes := uint64(1)
	for i := utsChildren(state, depth) - 1; i >= 0; i-- {
		nodes += uts(utsChild(state, i), depth-1)
	}
	return nodes
}

func forkUts(state uint64, depth int) uint64 {
	results := make([]uint64, utsChildren(state, depth))
	var group sync.WaitGroup
	group.Add(len(results))
	for i := range results {
		i := i
		go func() {
			results[i] = forkUts(utsChild(state, i), depth-1)
			group.Done()
		}()
	}
	group.Wait()
	return 1 + sumOf(results)
}

func power(base uint64, exponent int) uint64 {
	result := uint64(1)
	for ; exponent > 0; exponent-- {
		result *= base
	}
	return result
}

func skynet(first, leaves uint64) uint64 {
	if leaves == 1 {
		return first
	}
	sum, below := uint64(0), leaves/skynetWays
	for i := uint64(0); i < skynetWays; i++ {
		sum += skynet(first+i*below, below)
	}
	return sum
}

func forkSkynet(first, leaves uint64) uint64 {
	if leaves == 1 {
		return first
	}
	var results [skynetWays]uint64
	var group sync.WaitGroup
	group.Add(skynetWays)
	below := leaves / skynetWays
	for i := range results {
		i := i
		go func() {
			results[i] = forkSkynet(first+uint64(i)*below, below)
			group.Done()
		}()
	}
	group.Wait()
	return sumOf(results[:])
}

var a, b, c []float64
var stride int

type product struct{ a, b, c, rows, inner, columns int }

func (p product) isLeaf() bool {
	return p.rows <= matmulLeaf && p.inner <= matmulLeaf && p.columns <= matmulLeaf
}

func (p product) leaf() {
	for i := 0; i < p.rows; i++ {
		to := c[p.c+i*stride:][:p.columns]
		for k := 0; k < p.inner; k++ {
			factor := a[p.a+i*stride+k]
			from := b[p.b+k*stride:][:p.columns]
			for j := range to {
				to[j] += factor * from[j]
			}
		}
	}
}

// The third: may the halves be computed at the same time?
func (p product) split() (product, product, bool) {
	low, high := p, p
	if p.rows >= p.columns && p.rows >= p.inner {
		low.rows = p.rows / 2
		high.rows -= low.rows
		high.a += low.rows * stride
		high.c += low.rows * stride
		return low, high, true
	}
	if p.columns >= p.inner {
		low.columns = p.columns / 2
		high.columns -= low.columns
		high.b += low.columns
		high.c += low.columns
		return low, high, true
	}
	low.inner = p.inner / 2
	high.inner -= low.inner
	high.a += low.inner
	high.b += low.inner * stride
	return low, high, false
}

func (p product) multiply() {
	if p.isLeaf() {
		p.leaf()
		return
	}
	low, high, _ := p.split()
	low.multiply()
	high.multiply()
}

func (p product) forks() uint64 {
	if p.isLeaf() {
		return 0
	}
	low, high, parallel := p.split()
	own := uint64(0)
	if parallel {
		own = 1
	}
	return own + low.forks() + high.forks()
}

func (p product) forkMultiply() {
	if p.isLeaf() {
		p.leaf()
		return
	}
	low, high, parallel := p.split()
	if !parallel {
		low.forkMultiply()
		high.forkMultiply()
		return
	}
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		high.forkMultiply()
		group.Done()
	}()
	low.forkMultiply()
	group.Wait()
}

func sumNumbers(numbers []uint32) uint64 {
	sum := uint64(0)
	for _, number := range numbers {
		sum += uint64(number)
	}
	return sum
}

func forkSum(numbers []uint32) uint64 {
	results := make([]uint64, workers)
	var group sync.WaitGroup
	group.Add(workers)
	for i := range results {
		i, part := i, numbers[len(numbers)*i/workers:len(numbers)*(i+1)/workers]
		go func() {
			results[i] = sumNumbers(part)
			group.Done()
		}()
	}
	group.Wait()
	return sumOf(results)
}

// --- workloads -------------------------------------------------------------------------------------

type workload struct {
	sequential, parallel, digest func() uint64
	prepare                      func()
	amount                       float64
	isRate                       bool
}

func workloadNamed(name string, n int) *workload {
	all := uint32(1)<<n - 1
	w := workload{prepare: func() {}}
	switch name {
	case "fib", "future_fib":
		w.sequential = func() uint64 { return fib(n) }
		w.parallel = func() uint64 { return forkFib(n) }
		if name == "future_fib" {
			w.parallel = func() uint64 { return futureFib(n) }
		}
		w.amount = float64(fib(n+1) - 1)
	case "nqueens":
		w.sequential = func() uint64 { return queens(all, board{}) }
		w.parallel = func() uint64 { return forkQueens(all, board{}) }
		w.amount = float64(queensBelow(all, board{}))
	case "uts":
		w.sequential = func() uint64 { return uts(utsRoot, n) }
		w.parallel = func() uint64 { return forkUts(utsRoot, n) }
		w.amount = float64(uts(utsRoot, n) - 1)
	case "skynet":
		w.sequential = func() uint64 { return skynet(0, power(skynetWays, n)) }
		w.parallel = func() uint64 { return forkSkynet(0, power(skynetWays, n)) }
		w.amount = float64((power(skynetWays, n+1) - skynetWays) / (skynetWays - 1))
	case "matmul":
		matmul(&w, n)
	case "sum":
		numbers := make([]uint32, n)
		for i := range numbers {
			numbers[i] = uint32(mix(uint64(i)))
		}
		w.sequential = func() uint64 { return sumNumbers(numbers) }
		w.parallel = func() uint64 { return forkSum(numbers) }
		w.amount, w.isRate = 4*float64(n), true
	default:
		return nil
	}
	return &w
}

func matmul(w *workload, n int) {
	a, b, c, stride = make([]float64, n*n), make([]float64, n*n), make([]float64, n*n), n
	for i := range a {
		a[i], b[i] = float64(mix(uint64(i))%16), float64(mix(uint64(i+1))%16)
	}
	whole := product{0, 0, 0, n, n, n}
	w.prepare = func() {
		for i := range c {
			c[i] = 0
		}
	}
	w.sequential = func() uint64 { whole.multiply(); return 0 }
	w.parallel = func() uint64 { whole.forkMultiply(); return 0 }
	w.digest = func() uint64 {
		digest := uint64(0)
		for _, x := range c {
			digest = mix(digest + uint64(x))
		}
		return digest
	}
	w.amount = float64(whole.forks())
}
