// Package units reads and prints sizes and times the way people write them on a command line.
package units

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The units of sizes, in bytes. As everywhere in storage tools, a K is 1024 bytes, written with or without the i.
const (
	B   int64 = 1
	KiB       = B << 10
	MiB       = KiB << 10
	GiB       = MiB << 10
	TiB       = GiB << 10
	PiB       = TiB << 10
	EiB       = PiB << 10
)

// The reasons why a text is no size or time; the error returned names the text and says what to write instead.
var (
	// ErrSyntax: the text is not a number with a known unit.
	ErrSyntax = errors.New("invalid syntax")
	// ErrRange: the number is negative or too large.
	ErrRange = errors.New("out of range")
)

// prefixes are the letters of the powers of 1024, from the first power on.
const prefixes = "KMGTPE"

// ParseSize reads a size and returns it in bytes, rounded down. It is a decimal number, possibly with a fraction,
// followed by K, M, G, T, P or E with an optional "i" and "B", in upper or lower case, or by "B" alone for bytes.
// A number without a unit counts pieces of unit bytes: each flag has a traditional one.
func ParseSize(s string, unit int64) (int64, error) {
	number, suffix := cutNumber(strings.TrimSpace(s))
	if suffix != "" {
		var ok bool
		if unit, ok = unitOf(suffix); !ok {
			return 0, badSize(s, ErrSyntax)
		}
	}
	n, err := scale(number, unit)
	if err != nil {
		return 0, badSize(s, err)
	}
	return n, nil
}

func badSize(s string, err error) error {
	if errors.Is(err, ErrRange) {
		return fmt.Errorf("size %q: %w: give a size from 0 to below 8E", s, err)
	}
	return fmt.Errorf("size %q: %w: give a number with K, M, G, T, P or E, such as 300M or 1.5G", s, err)
}

// unitOf returns the bytes of a suffix such as "M", "mb", "MiB" or "B".
func unitOf(suffix string) (int64, bool) {
	if strings.EqualFold(suffix, "B") {
		return B, true
	}
	power := strings.IndexByte(prefixes, upper(suffix[0]))
	if power < 0 {
		return 0, false
	}
	switch strings.ToLower(suffix[1:]) {
	case "", "i", "b", "ib":
		return KiB << (10 * power), true
	}
	return 0, false
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// cutNumber splits a text behind its leading sign, digits and decimal points; blanks between number and suffix
// are dropped.
func cutNumber(s string) (number, suffix string) {
	end := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("+-.0123456789", r) })
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimLeft(s[end:], " \t")
}

// scale returns number times unit, rounded down. The arithmetic is exact, so that 0.1 of a unit is not a byte off.
func scale(number string, unit int64) (int64, error) {
	digits, negative := strings.CutPrefix(number, "-")
	if !negative {
		digits = strings.TrimPrefix(number, "+")
	}
	if !isDecimal(digits) {
		return 0, ErrSyntax
	}
	value, ok := new(big.Rat).SetString(digits)
	if !ok {
		return 0, ErrSyntax
	}
	value.Mul(value, new(big.Rat).SetInt64(unit))
	whole := new(big.Int).Quo(value.Num(), value.Denom())
	if !whole.IsInt64() || negative && value.Sign() != 0 {
		return 0, ErrRange
	}
	return whole.Int64(), nil
}

// isDecimal tells whether s is digits with at most one point among them.
func isDecimal(s string) bool {
	digits, points := 0, 0
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c == '.':
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}
