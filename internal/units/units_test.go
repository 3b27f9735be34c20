package units

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		text string
		unit int64
		want int64
	}{
		{"300", MiB, 300 * MiB},
		{"300M", B, 300 * MiB},
		{"4096", B, 4096},
		{"4096", KiB, 4 * MiB},
		{"100", GiB, 100 * GiB},
		{"0", GiB, 0},
		{"-0", GiB, 0},
		{"+1k", GiB, KiB},
		{"1b", MiB, 1},
		{"4m", B, 4 * MiB},
		{"4MB", B, 4 * MiB},
		{"4Mi", B, 4 * MiB},
		{"4mib", B, 4 * MiB},
		{"4 MiB", B, 4 * MiB},
		{" 2G ", B, 2 * GiB},
		{"3T", B, 3 * TiB},
		{"3P", B, 3 * PiB},
		{"7E", B, 7 * EiB},
		{"1.5G", B, 1536 * MiB},
		{".5K", B, 512},
		{"1.K", B, 1024},
		{"0.1K", B, 102},
		{"1.1", GiB, 1181116006},
		{"9223372036854775807", B, math.MaxInt64},
		{"7.999999999999999999E", B, math.MaxInt64 - 1},
	} {
		got, err := ParseSize(c.text, c.unit)
		if err != nil || got != c.want {
			t.Errorf("ParseSize(%q, %d) = %d, %v; want %d", c.text, c.unit, got, err, c.want)
		}
	}
}

func TestParseSizeErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{"", ErrSyntax}, {" ", ErrSyntax}, {"M", ErrSyntax}, {".", ErrSyntax}, {"1.2.3M", ErrSyntax},
		{"1X", ErrSyntax}, {"1Mx", ErrSyntax}, {"1MiBs", ErrSyntax}, {"1iB", ErrSyntax}, {"1bb", ErrSyntax},
		{"1e3", ErrSyntax}, {"0x10", ErrSyntax}, {"1_000", ErrSyntax}, {"--1", ErrSyntax}, {"1-2", ErrSyntax},
		{"NaN", ErrSyntax}, {"inf", ErrSyntax}, {"1/2", ErrSyntax}, {"1 2", ErrSyntax}, {"١", ErrSyntax},
		{"-1", ErrRange}, {"-0.1", ErrRange}, {"-5M", ErrRange}, {"8E", ErrRange},
		{"9223372036854775808", ErrRange}, {"99999999999999999999999999G", ErrRange},
	} {
		n, err := ParseSize(c.text, B)
		if !errors.Is(err, c.want) || n != 0 {
			t.Errorf("ParseSize(%q) = %d, %v; want 0, %v", c.text, n, err, c.want)
		} else if !strings.Contains(err.Error(), "give a ") {
			t.Errorf("ParseSize(%q) does not say what to do: %v", c.text, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"60", time.Minute}, {"0.5", 500 * time.Millisecond}, {"0", 0}, {"0s", 0}, {"-0s", 0},
		{"1.0s", time.Second}, {"100ms", 100 * time.Millisecond}, {"1h30m", 90 * time.Minute},
		{"+2m", 2 * time.Minute}, {"3us", 3 * time.Microsecond}, {"3µs", 3 * time.Microsecond}, {"7ns", 7},
		{"7d", 7 * 24 * time.Hour}, {"1d12h", 36 * time.Hour}, {"0.5d", 12 * time.Hour},
		{"2d1.5h0.5s", 49*time.Hour + 30*time.Minute + 500*time.Millisecond},
		{"9223372036.854775807", math.MaxInt64},
	} {
		if got, err := ParseDuration(c.text); err != nil || got != c.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", c.text, got, err, c.want)
		}
	}
}

func TestParseDurationErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{"", ErrSyntax}, {"s", ErrSyntax}, {"1w", ErrSyntax}, {"1h30", ErrSyntax}, {"1hm", ErrSyntax},
		{"1h-5m", ErrSyntax}, {"1d+5m", ErrSyntax}, {"1.2.3s", ErrSyntax}, {"1S", ErrSyntax},
		{"-1", ErrRange}, {"-1s", ErrRange}, {"106752d", ErrRange}, {"9223372037", ErrRange},
		{"106751d24h", ErrRange}, {"9999999999999999999999h", ErrRange},
	} {
		d, err := ParseDuration(c.text)
		if !errors.Is(err, c.want) || d != 0 {
			t.Errorf("ParseDuration(%q) = %v, %v; want 0, %v", c.text, d, err, c.want)
		} else if !strings.Contains(err.Error(), "give ") {
			t.Errorf("ParseDuration(%q) does not say what to do: %v", c.text, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		n           uint64
		long, short string
	}{
		{0, "0 Bytes", "0 B"},
		{1023, "1023 Bytes", "1023 B"},
		{1024, "1.00 KiB (1024 Bytes)", "1.0 KiB"},
		{10239, "10.00 KiB (10239 Bytes)", "10 KiB"},
		{128 << 10, "128.00 KiB (131072 Bytes)", "128 KiB"},
		{1<<20 - 512, "1023.50 KiB (1048064 Bytes)", "1.0 MiB"},
		{1<<20 - 1, "1.00 MiB (1048575 Bytes)", "1.0 MiB"},
		{10 << 20, "10.00 MiB (10485760 Bytes)", "10 MiB"},
		{1 << 30, "1.00 GiB (1073741824 Bytes)", "1.0 GiB"},
		{5 << 39, "2.50 TiB (2748779069440 Bytes)", "2.5 TiB"},
		{1 << 50, "1.00 PiB (1125899906842624 Bytes)", "1.0 PiB"},
		{math.MaxUint64, "16.00 EiB (18446744073709551615 Bytes)", "16 EiB"},
	} {
		if got := FormatBytes(c.n); got != c.long {
			t.Errorf("FormatBytes(%d) = %q, want %q", c.n, got, c.long)
		}
		if got := FormatShort(c.n); got != c.short {
			t.Errorf("FormatShort(%d) = %q, want %q", c.n, got, c.short)
		}
	}
}

func TestFlags(t *testing.T) {
	buffer, ttl := 300*MiB, time.Second
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Var(NewSize(&buffer, MiB), "buffer-size", "memory")
	flags.Var(NewDuration(&ttl), "attr-cache", "time")
	usage := flags.FlagUsages()
	for _, want := range []string{"--buffer-size size ", "(default 300M)", "--attr-cache duration ", "(default 1s)"} {
		if !strings.Contains(usage, want) {
			t.Errorf("usage lacks %q:\n%s", want, usage)
		}
	}

	if err := flags.Parse([]string{"--buffer-size=1024", "--attr-cache", "0.5"}); err != nil {
		t.Fatal(err)
	}
	if buffer != GiB || ttl != 500*time.Millisecond {
		t.Errorf("parsed %d and %v", buffer, ttl)
	}
	for _, bad := range []string{"--buffer-size=1Q", "--attr-cache=-1s"} {
		if err := flags.Parse([]string{bad}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if buffer != GiB || ttl != 500*time.Millisecond {
		t.Errorf("a bad value changed the variables: %d, %v", buffer, ttl)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"1", "1.5G", "-3", "0.0000001E", "12 kib", ".", "9e9", "8E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s, MiB)
		if err != nil {
			if n != 0 || !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrRange) {
				t.Fatalf("ParseSize(%q) = %d, %v", s, n, err)
			}
			return
		}
		if n < 0 {
			t.Fatalf("ParseSize(%q) = %d", s, n)
		}
		again, err := ParseSize(NewSize(&n, MiB).String(), MiB)
		if err != nil || again != n {
			t.Fatalf("%q: %d printed as %q reads as %d, %v", s, n, flagSize(n), again, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"1", "1.5h", "-3s", "1d12h", "0.000001ms", "1h 5m", "9e9", "106752d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if d != 0 || !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrRange) {
				t.Fatalf("ParseDuration(%q) = %v, %v", s, d, err)
			}
			return
		}
		if want, err := time.ParseDuration(s); err == nil && want > d+1000 {
			t.Fatalf("ParseDuration(%q) = %v, Go reads %v", s, d, want)
		}
		again, err := ParseDuration(NewDuration(&d).String())
		if d < 0 || err != nil || again != d {
			t.Fatalf("%q: %v reads as %v, %v", s, d, again, err)
		}
	})
}
