package units

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ParseDuration reads a time span: a duration as Go writes it ("500ms", "1h30m"), also with days ("7d", "1d12h"),
// or a bare number of seconds ("60", "0.5"). It is rounded down to nanoseconds. Negative spans are refused.
func ParseDuration(s string) (time.Duration, error) {
	d, err := parseDuration(strings.TrimSpace(s))
	if errors.Is(err, ErrRange) {
		return 0, fmt.Errorf("time %q: %w: give a time from 0 to 106751d", s, err)
	}
	if err != nil {
		return 0, fmt.Errorf("time %q: %w: give seconds or a number with ms, s, m, h or d, such as 30 or 1h30m", s, err)
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, error) {
	number, rest := cutNumber(s)
	if rest == "" {
		n, err := scale(number, int64(time.Second))
		return time.Duration(n), err
	}
	var sum time.Duration
	for {
		var name string
		if end := strings.IndexAny(rest, "+-.0123456789"); end < 0 {
			name, rest = rest, ""
		} else {
			name, rest = rest[:end], rest[end:]
		}
		unit, ok := spanOf(strings.TrimSpace(name))
		if !ok {
			return 0, ErrSyntax
		}
		n, err := scale(number, int64(unit))
		if err != nil {
			return 0, err
		}
		if sum += time.Duration(n); sum < 0 {
			return 0, ErrRange
		}
		if rest == "" {
			return sum, nil
		}
		if number, rest = cutNumber(rest); strings.ContainsAny(number, "+-") {
			return 0, ErrSyntax // a sign belongs before the whole
		}
	}
}

func spanOf(name string) (time.Duration, bool) {
	switch name {
	case "ns":
		return time.Nanosecond, true
	case "us", "µs", "μs": // micro sign and Greek mu
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return 24 * time.Hour, true
	}
	return 0, false
}
