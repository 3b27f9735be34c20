package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"jfs/internal/units"
)

// The values of flags beyond sizes and times (internal/units). Each stores into a variable of an options struct.

type textValue struct{ to *string }

func (v textValue) Set(s string) error { *v.to = s; return nil }
func (v textValue) String() string     { return *v.to }
func (v textValue) Type() string       { return "text" }

type boolValue struct{ to *bool }

func (v boolValue) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	*v.to = b
	return nil
}
func (v boolValue) String() string { return strconv.FormatBool(*v.to) }
func (v boolValue) Type() string   { return "bool" }

// listValue collects the values of a flag that may be given several times.
type listValue struct{ to *[]string }

func (v listValue) Set(s string) error { *v.to = append(*v.to, s); return nil }
func (v listValue) String() string     { return strings.Join(*v.to, ",") }
func (v listValue) Type() string       { return "text" }

// countValue is a whole number from 0 up.
type countValue[T int | int64 | uint64] struct{ to *T }

func (v countValue[T]) Set(s string) error {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 63)
	if err != nil || uint64(T(n)) != n {
		return fmt.Errorf("%q is not a whole number from 0 up", s)
	}
	*v.to = T(n)
	return nil
}
func (v countValue[T]) String() string { return fmt.Sprint(*v.to) }
func (v countValue[T]) Type() string   { return "number" }

// ratioValue is a share from 0 to below 1.
type ratioValue struct{ to *float64 }

func (v ratioValue) Set(s string) error {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f >= 0 && f < 1) {
		return fmt.Errorf("%q is not a share from 0 to below 1, such as 0.1", s)
	}
	*v.to = f
	return nil
}
func (v ratioValue) String() string { return strconv.FormatFloat(*v.to, 'g', -1, 64) }
func (v ratioValue) Type() string   { return "ratio" }

// modeValue is a set of permission bits in octal.
type modeValue struct{ to *fs.FileMode }

func (v modeValue) Set(s string) error {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not a mode from 0 to 0777 in octal", s)
	}
	*v.to = fs.FileMode(n)
	return nil
}
func (v modeValue) String() string { return fmt.Sprintf("%#o", *v.to) }
func (v modeValue) Type() string   { return "mode" }

// choiceValue is one of a few words.
type choiceValue struct {
	to    *string
	words []string
}

func (v choiceValue) Set(s string) error {
	if !slices.Contains(v.words, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(v.words, ", "))
	}
	*v.to = s
	return nil
}
func (v choiceValue) String() string { return *v.to }
func (v choiceValue) Type() string   { return strings.Join(v.words, "|") }

// bandwidthValue is a bandwidth in Mbit/s; K, M, G and T count in thousands, as network speeds do.
type bandwidthValue struct{ to *int64 }

func (v bandwidthValue) Set(s string) error {
	number := strings.TrimSuffix(strings.TrimSpace(s), "bps")
	scale := 1.0
	if number != "" {
		if i := strings.IndexByte("KMGT", number[len(number)-1]&^0x20); i >= 0 {
			scale = []float64{1e-3, 1, 1e3, 1e6}[i]
			number = number[:len(number)-1]
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0 && f*scale < 1e12) {
		return fmt.Errorf("%q is not a bandwidth: give Mbit/s or a number with K, M, G or T, such as 100M", s)
	}
	*v.to = int64(f * scale)
	return nil
}
func (v bandwidthValue) String() string { return strconv.FormatInt(*v.to, 10) }
func (v bandwidthValue) Type() string   { return "Mbps" }

// unsignedSize is a size whose variable is unsigned.
type unsignedSize struct {
	to   *uint64
	unit int64
}

func (v unsignedSize) Set(s string) error {
	n, err := units.ParseSize(s, v.unit)
	if err == nil {
		*v.to = uint64(n)
	}
	return err
}
func (v unsignedSize) String() string {
	n := int64(*v.to)
	return units.NewSize(&n, v.unit).String()
}
func (v unsignedSize) Type() string { return "size" }

// ignoredValue takes anything and keeps it for the check whether the flag may be given.
type ignoredValue struct {
	text    string
	boolean bool
}

func (v *ignoredValue) Set(s string) error {
	if v.boolean {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		s = strconv.FormatBool(b)
	}
	v.text = s
	return nil
}
func (v *ignoredValue) String() string { return v.text }
func (v *ignoredValue) Type() string {
	if v.boolean {
		return "bool"
	}
	return "text"
}

var (
	_ pflag.Value = textValue{}
	_ pflag.Value = boolValue{}
	_ pflag.Value = listValue{}
	_ pflag.Value = countValue[int]{}
	_ pflag.Value = ratioValue{}
	_ pflag.Value = modeValue{}
	_ pflag.Value = choiceValue{}
	_ pflag.Value = bandwidthValue{}
	_ pflag.Value = unsignedSize{}
	_ pflag.Value = (*ignoredValue)(nil)
)
