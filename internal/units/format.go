package units

import (
	"fmt"
	"strconv"
)

// FormatBytes prints a size for people who also need it exactly: "10.00 MiB (10485760 Bytes)", and "12 Bytes"
// below 1 KiB.
func FormatBytes(n uint64) string {
	if n < uint64(KiB) {
		return fmt.Sprintf("%d Bytes", n)
	}
	value, power := reduce(n, 2)
	return fmt.Sprintf("%.2f %ciB (%d Bytes)", value, prefixes[power-1], n)
}

// FormatShort prints a size in few characters, rounded: "1.0 MiB", "128 KiB", "12 B".
func FormatShort(n uint64) string {
	if n < uint64(KiB) {
		return fmt.Sprintf("%d B", n)
	}
	value, power := reduce(n, 0)
	if digits := strconv.FormatFloat(value, 'f', 1, 64); len(digits) == len("9.9") {
		return fmt.Sprintf("%s %ciB", digits, prefixes[power-1])
	}
	return fmt.Sprintf("%.0f %ciB", value, prefixes[power-1])
}

// reduce divides n, which is at least 1 KiB, by the largest power of 1024 that leaves at least 1. A value that
// would be printed as 1024 when rounded to the given decimals goes to the next power.
func reduce(n uint64, decimals int) (value float64, power int) {
	value, power = float64(n)/1024, 1
	for power < len(prefixes) {
		rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'f', decimals, 64), 64)
		if err != nil || rounded < 1024 {
			break
		}
		value /= 1024
		power++
	}
	return value, power
}

// flagSize prints a size so that ParseSize reads the same one, whatever the flag's traditional unit: "300M".
func flagSize(n int64) string {
	if n == 0 {
		return "0"
	}
	power := 0
	for power < len(prefixes) && n%1024 == 0 {
		n /= 1024
		power++
	}
	if power == 0 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%d%c", n, prefixes[power-1])
}
