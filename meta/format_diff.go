package meta

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"jfs/internal/redact"
)

// FormatChange is a field of a format that has another value, for people and logs.
type FormatChange struct{ Name, From, To string }

// notShown stands for values that nobody is to see.
const notShown = "****"

// ChangesTo lists the fields in which another format differs, in the order of names. Secrets are not shown, nor what
// this client does not understand.
func (f Format) ChangesTo(next Format) ([]FormatChange, error) {
	before, err := f.shown()
	if err != nil {
		return nil, err
	}
	after, err := next.shown()
	if err != nil {
		return nil, err
	}
	secret := func(name string) bool {
		_, unknown := f.unknown[name]
		_, added := next.unknown[name]
		return unknown || added || slices.Contains([]string{"SecretKey", "SessionToken", "EncryptKey"}, name)
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	var all []FormatChange
	for _, name := range slices.Sorted(maps.Keys(names)) {
		from, to := before[name], after[name]
		if from == to {
			continue
		}
		all = append(all, FormatChange{name, veiled(from, secret(name)), veiled(to, secret(name))})
	}
	return all, nil
}

func veiled(value string, secret bool) string {
	switch {
	case value == "":
		return value
	case secret:
		return notShown
	case strings.Contains(value, "://"): // it may have a password in it
		return redact.URL(value)
	}
	return value
}

// shown gives the fields by name; "" is the same as a missing one.
func (f *Format) shown() (map[string]string, error) {
	b, err := f.marshal()
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	all := make(map[string]string, len(fields))
	for name, value := range fields {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = strings.Join(strings.Fields(string(value)), "")
		}
		all[name] = text
	}
	return all, nil
}
