package units

import (
	"time"

	"github.com/spf13/pflag"
)

var (
	_ pflag.Value = (*Size)(nil)
	_ pflag.Value = (*Duration)(nil)
)

// Size is the value of a flag that takes a size. It stores bytes into a variable of the program; what that holds
// beforehand is the default.
type Size struct {
	bytes *int64
	unit  int64
}

// NewSize makes a flag's value that stores into bytes; a number without a unit counts pieces of unit bytes.
//
//	flags.Var(units.NewSize(&opts.Buffer, units.MiB), "buffer-size", "memory for reading and writing")
func NewSize(bytes *int64, unit int64) *Size { return &Size{bytes, unit} }

// Set reads s as ParseSize does. A size that cannot be read leaves the variable as it was.
func (v *Size) Set(s string) error {
	n, err := ParseSize(s, v.unit)
	if err != nil {
		return err
	}
	*v.bytes = n
	return nil
}

// String prints the size so that Set reads the same one: "300M".
func (v *Size) String() string {
	if v == nil || v.bytes == nil {
		return "0"
	}
	return flagSize(*v.bytes)
}

// Type is the placeholder in help texts.
func (v *Size) Type() string { return "size" }

// Duration is the value of a flag that takes a time span. It stores into a variable of the program; what that
// holds beforehand is the default.
type Duration struct {
	span *time.Duration
}

// NewDuration makes a flag's value that stores into span.
func NewDuration(span *time.Duration) *Duration { return &Duration{span} }

// Set reads s as ParseDuration does. A time that cannot be read leaves the variable as it was.
func (v *Duration) Set(s string) error {
	d, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*v.span = d
	return nil
}

// String prints the span so that Set reads the same one: "1h0m0s".
func (v *Duration) String() string {
	if v == nil || v.span == nil || *v.span == 0 {
		return "0"
	}
	return v.span.String()
}

// Type is the placeholder in help texts.
func (v *Duration) Type() string { return "duration" }
