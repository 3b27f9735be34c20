package stats

import (
	"math"
	"slices"
)

// student holds the quantiles 0.975 of Student's distribution for 1, 2, ... degrees of freedom, from the usual table.
var student = [...]float64{
	12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
	2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
	2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
}

// normal975 is the limit of student.
const normal975 = 1.960

// Mean returns the mean of values, and half of the width of its interval of confidence of 95 %; NaN for the latter
// when there are fewer than two values, which say nothing about their spread.
func Mean(values []float64) (mean, half float64) {
	n := float64(len(values))
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	for _, v := range values {
		mean += v / n
	}
	if n < 2 {
		return mean, math.NaN()
	}
	var squares float64
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	t := normal975
	if free := len(values) - 1; free <= len(student) {
		t = student[free-1]
	}
	return mean, t * math.Sqrt(squares/(n-1)/n)
}

// Median returns the value in the middle; NaN of nothing.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Interval is a range of values.
type Interval struct{ Low, High float64 }

// Ratio estimates by which factor the values of b are those of a, with an interval of the confidence 1-alpha. Both are
// positive. It is the estimate of Hodges and Lehmann on logarithms, which belongs to the test of Compare: the interval
// leaves 1 out when that test finds a difference. Samples that are too small for the confidence give the whole range
// of ratios that were seen, and ok is false.
func Ratio(a, b []float64, alpha float64) (ratio float64, in Interval, ok bool) {
	var logs []float64
	for _, x := range a {
		for _, y := range b {
			logs = append(logs, math.Log(y/x))
		}
	}
	if len(logs) == 0 {
		return math.NaN(), Interval{math.NaN(), math.NaN()}, false
	}
	slices.Sort(logs)
	k := 0 // pairs that are cut off at each end
	for tail := rankTail(len(a), len(b)); k < len(tail) && tail[k] <= alpha/2; k++ {
	}
	ok = k > 0
	k = min(max(k, 1), (len(logs)+1)/2)
	return math.Exp(Median(logs)), Interval{math.Exp(logs[k-1]), math.Exp(logs[len(logs)-k])}, ok
}
