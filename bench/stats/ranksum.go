package stats

import (
	"math"
	"slices"
)

// exactUpTo is the size of samples up to which the probabilities are counted out; above, the normal distribution is
// as good.
const exactUpTo = 40

// Compare returns the probability that two samples of one and the same distribution differ as much as these (the
// two-sided test of Mann and Whitney). It assumes nothing about the distribution. With very few values even the most
// different samples are likely: see Smallest.
func Compare(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	var u float64 // pairs in which the value of a is greater; a tie is half
	ties := false
	for _, x := range a {
		for _, y := range b {
			switch {
			case x > y:
				u++
			case x == y:
				u, ties = u+0.5, true
			}
		}
	}
	u = min(u, float64(n*m)-u)
	if !ties && n <= exactUpTo && m <= exactUpTo {
		return min(1, 2*rankTail(n, m)[int(u)])
	}
	return approximate(a, b, u)
}

// approximate is Compare with the normal distribution, corrected for ties and for continuity.
func approximate(a, b []float64, u float64) float64 {
	n, m := float64(len(a)), float64(len(b))
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	var tied float64
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j] == all[i] {
			j++
		}
		t := float64(j - i)
		tied += t*t*t - t
		i = j
	}
	total := n + m
	variance := n * m / 12 * (total + 1 - tied/(total*(total-1)))
	if variance <= 0 { // all values are equal
		return 1
	}
	z := (n*m/2 - u - 0.5) / math.Sqrt(variance)
	return min(1, math.Erfc(max(z, 0)/math.Sqrt2))
}

// Smallest returns the smallest probability that Compare can give for samples of these sizes.
func Smallest(n, m int) float64 {
	if n == 0 || m == 0 {
		return 1
	}
	return min(1, 2*rankTail(n, m)[0])
}

// rankTail returns the probabilities that at most 0, 1, 2, ... of the n*m pairs are in the one order.
func rankTail(n, m int) []float64 {
	// ways[j][u] is in how many orders of i values of the one kind and j of the other u pairs are in order; the numbers
	// are kept as shares of all orders, so that they do not overflow.
	ways := make([][]float64, m+1)
	for j := range ways {
		ways[j] = make([]float64, n*m+1)
		ways[j][0] = 1
	}
	for i := 1; i <= n; i++ {
		next := make([][]float64, m+1)
		next[0] = make([]float64, n*m+1)
		next[0][0] = 1
		for j := 1; j <= m; j++ {
			next[j] = make([]float64, n*m+1)
			// The greatest of all is of the first kind, and above j others, or of the second kind.
			first := float64(i) / float64(i+j)
			for u := 0; u <= i*j; u++ {
				p := (1 - first) * next[j-1][u]
				if u >= j {
					p += first * ways[j][u-j]
				}
				next[j][u] = p
			}
		}
		ways = next
	}
	tail := ways[m]
	for u := 1; u < len(tail); u++ {
		tail[u] += tail[u-1]
	}
	return tail
}

// Holm says which of several probabilities are below alpha when it is taken into account that there are several: the
// chance that any one of them is there by accident is at most alpha.
func Holm(p []float64, alpha float64) []bool {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case p[i] < p[j]:
			return -1
		case p[i] > p[j]:
			return 1
		}
		return 0
	})
	found := make([]bool, len(p))
	for rank, i := range order {
		if p[i] > alpha/float64(len(p)-rank) {
			break
		}
		found[i] = true
	}
	return found
}
