package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// state says how far a flag of the command line works.
type state uint8

const (
	works state = iota // the zero value
	// holds: nothing has to be done, because this client behaves so anyway; help says why. A flag with
	// values in flag.only holds for these and is refused with others.
	holds
	// later: the function behind the flag does not exist yet, and the flag is refused.
	later
)

// flag is a flag of a command that reads its options into a T.
type flag[T any] struct {
	name  string
	short string   // one letter
	def   string   // in the form in which it is given
	env   string   // variable of the environment with which fromEnv replaces a flag that was not given
	state state    // whether it works
	only  []string // values that a flag which does not work may have nevertheless; a boolean's includes "false"
	to    func(*T) pflag.Value
	// boolean: of a flag without to, that it needs no value.
	boolean bool
	help    string
	hidden  bool
}

// table is the flags of a command.
type table[T any] []flag[T]

// register adds the flags to a command, with their defaults in opt.
func (t table[T]) register(set *pflag.FlagSet, opt *T) error {
	for _, f := range t {
		var v pflag.Value = &ignoredValue{text: f.def, boolean: f.boolean}
		if f.to != nil {
			v = f.to(opt)
			if f.def != "" {
				if err := v.Set(f.def); err != nil {
					return fmt.Errorf("default of --%s: %w", f.name, err)
				}
			}
		}
		help := f.help
		if f.env != "" {
			help += " [env " + f.env + "]"
		}
		if f.state == later {
			help += " (not supported yet)"
		}
		p := &pflag.Flag{Name: f.name, Shorthand: f.short, Usage: help, Value: v, DefValue: f.def, Hidden: f.hidden}
		if v.Type() == "bool" {
			p.NoOptDefVal = "true"
		}
		set.AddFlag(p)
	}
	return nil
}

// fromEnv gives flags the values that the environment has for them, unless they were given.
func (t table[T]) fromEnv(set *pflag.FlagSet, getenv func(string) string) error {
	for _, f := range t {
		if f.env == "" || set.Changed(f.name) {
			continue
		}
		if value := getenv(f.env); value != "" {
			if err := set.Set(f.name, value); err != nil {
				return fmt.Errorf("environment variable %s: %w", f.env, err)
			}
		}
	}
	return nil
}

// check refuses flags that were given and do not work.
func (t table[T]) check(set *pflag.FlagSet) error {
	for _, f := range t {
		p := set.Lookup(f.name)
		if p.Changed && !f.accepts(p.Value.String()) {
			if len(f.only) > 0 {
				return fmt.Errorf("--%s=%s is not supported by this version yet: leave it out or give %s", f.name, p.Value, strings.Join(f.only, " or "))
			}
			return fmt.Errorf("--%s is not supported by this version yet", f.name)
		}
	}
	return nil
}

func (f flag[T]) accepts(value string) bool {
	switch {
	case f.state == works:
		return true
	case f.boolean && value == "false":
		return true
	case f.state == holds && len(f.only) == 0:
		return true
	}
	return slices.Contains(f.only, value)
}

// has says whether the table holds a flag of that name.
func (t table[T]) has(name string) bool {
	return slices.ContainsFunc(t, func(f flag[T]) bool { return f.name == name })
}

// given lists the flags that were given, as name or name=value, in the order of the table.
func (t table[T]) given(set *pflag.FlagSet, without ...string) []string {
	var all []string
	for _, f := range t {
		p := set.Lookup(f.name)
		if !p.Changed || slices.Contains(without, f.name) {
			continue
		}
		switch value := p.Value.String(); {
		case p.NoOptDefVal != "" && value == "true":
			all = append(all, f.name)
		default:
			all = append(all, f.name+"="+value)
		}
	}
	return all
}

// Short makers for the column "to".

func toText[T any](field func(*T) *string) func(*T) pflag.Value {
	return func(t *T) pflag.Value { return textValue{field(t)} }
}

func toBool[T any](field func(*T) *bool) func(*T) pflag.Value {
	return func(t *T) pflag.Value { return boolValue{field(t)} }
}

func toCount[T any, N int | int64 | uint64](field func(*T) *N) func(*T) pflag.Value {
	return func(t *T) pflag.Value { return countValue[N]{field(t)} }
}
