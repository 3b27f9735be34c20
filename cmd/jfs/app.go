package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/internal/logging"
)

// app is one run of the program: where its words go, and what all commands share.
type app struct {
	in       io.Reader // answers to questions
	out, err io.Writer
	getenv   func(string) string
	log      *slog.Logger
	global   globalOptions
	fstab    string      // file that --update-fstab changes
	helper   string      // link by which mount(8) finds this program
	tell     func(error) // told why the program ends, by whoever waits for it; nil: nobody waits
}

// globalOptions are those that stand before or behind any command.
type globalOptions struct {
	verbose bool
	debug   bool
	quiet   bool
	trace   bool
	logID   string
	noAgent bool
	noColor bool
	version bool
}

func globalFlags() table[globalOptions] {
	return table[globalOptions]{
		{name: "verbose", short: "v", to: toBool(func(o *globalOptions) *bool { return &o.verbose }), help: "log also what is of interest to developers"},
		{name: "debug", to: toBool(func(o *globalOptions) *bool { return &o.debug }), help: "same as --verbose"},
		{name: "quiet", short: "q", to: toBool(func(o *globalOptions) *bool { return &o.quiet }), help: "log warnings and errors only"},
		{name: "trace", to: toBool(func(o *globalOptions) *bool { return &o.trace }), help: "log everything"},
		{name: "log-id", to: toText(func(o *globalOptions) *string { return &o.logID }), help: "put this before every line of the log; \"random\" for a new id"},
		{name: "no-agent", to: toBool(func(o *globalOptions) *bool { return &o.noAgent }), help: "do not serve profiles at 127.0.0.1 from port 6060 on while mounted"},
		{name: "pyroscope", state: later, help: "address of a Pyroscope server"},
		{name: "no-color", to: toBool(func(o *globalOptions) *bool { return &o.noColor }), help: "no colours"},
		{name: "version", short: "V", to: toBool(func(o *globalOptions) *bool { return &o.version }), help: "print the version"},
	}
}

func newApp(out, err io.Writer, getenv func(string) string) *app {
	a := &app{in: os.Stdin, out: out, err: err, getenv: getenv, fstab: fstabFile, helper: helperLink}
	a.log = slog.New(logging.New(err, logging.Options{PID: os.Getpid()}))
	return a
}

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// run executes the command that args, which begin with the name of the program, ask for, and returns the exit
// code.
func (a *app) run(ctx context.Context, args []string) int {
	err := a.execute(ctx, args)
	if err == nil {
		return 0
	}
	if a.tell != nil {
		a.tell(err)
	}
	a.log.Log(ctx, logging.LevelFatal, err.Error())
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return 1
}

func (a *app) execute(ctx context.Context, args []string) error {
	words, fake, err := helperArgs(args)
	if err != nil || fake {
		return err
	}
	root, err := a.root()
	if err != nil {
		return err
	}
	root.SetArgs(rewriteArgs(words, knownFlags(root, words)))
	return root.ExecuteContext(ctx)
}

// root builds the tree of commands.
func (a *app) root() (*cobra.Command, error) {
	root := &cobra.Command{
		Use:           "jfs",
		Short:         "a caching client for volumes of the JuiceFS Community Edition format",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case a.global.version:
				return a.printVersion()
			case len(args) > 0:
				return fmt.Errorf("unknown command %q: run \"jfs help\" for the list of commands", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := globalFlags()
	if err := flags.register(root.PersistentFlags(), &a.global); err != nil {
		return nil, err
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.startLog()
		return flags.check(cmd.Flags())
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: run \"%s --help\" for the list of options", err, cmd.CommandPath())
	})
	for _, add := range []func(*cobra.Command) error{
		a.addFormat, a.addConfig, a.addQuota, a.addDestroy, a.addGC, a.addFsck, a.addRestore, a.addDump, a.addLoad, a.addStatus,
		a.addInfo, a.addSummary, a.addStats, a.addProfile, a.addDebug, a.addMount, a.addUmount, a.addBench, a.addObjbench, a.addMdtest, a.addWarmup, a.addRmr, a.addClone, a.addCompact, a.addVersion,
	} {
		if err := add(root); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// command is a sub-command that reads its options into a T.
type command[T any] struct {
	use   string // name and arguments
	short string
	args  int // how many, or the least if most is given
	most  int // more than args; 0: no more than args, many: any number
	flags table[T]
	run   func(ctx context.Context, set *pflag.FlagSet, opt *T, args []string) error
}

// many is the number of arguments of a command that takes a list.
const many = 1 << 30

// takes says how many arguments the command wants.
func (c *command[T]) takes() string {
	switch {
	case c.most == many:
		return fmt.Sprintf("at least %d", c.args)
	case c.most > c.args:
		return fmt.Sprintf("%d to %d", c.args, c.most)
	}
	return fmt.Sprint(c.args)
}

func addCommand[T any](a *app, root *cobra.Command, c command[T]) error {
	opt := new(T)
	cmd := &cobra.Command{
		Use:   c.use,
		Short: c.short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < c.args || len(args) > max(c.args, c.most) {
				use := strings.TrimPrefix(cmd.CommandPath(), "jfs ") + strings.TrimPrefix(c.use, cmd.Name())
				return fmt.Errorf("%s takes %s arguments and was given %d: jfs %s", cmd.Name(), c.takes(), len(args), use)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.flags.check(cmd.Flags()); err != nil {
				return err
			}
			return c.run(cmd.Context(), cmd.Flags(), opt, args)
		},
	}
	cmd.Flags().SortFlags = false
	if err := c.flags.register(cmd.Flags(), opt); err != nil {
		return fmt.Errorf("command %s: %w", cmd.Name(), err)
	}
	root.AddCommand(cmd)
	return nil
}

// knownFlags are the flags of the command that the words name, and those of all commands.
func knownFlags(root *cobra.Command, words []string) flagKinds {
	known := flagKinds{}
	note := func(f *pflag.Flag) {
		known[f.Name] = f.NoOptDefVal == ""
		if f.Shorthand != "" {
			known[f.Shorthand] = f.NoOptDefVal == ""
		}
	}
	root.PersistentFlags().VisitAll(note)
	name := commandName(words, known)
	for _, cmd := range root.Commands() {
		if cmd.Name() == name {
			cmd.Flags().VisitAll(note)
			for _, sub := range cmd.Commands() {
				sub.Flags().VisitAll(note)
			}
		}
	}
	known["help"], known["h"] = false, false
	return known
}

// commandName is the first word that is neither a flag nor the value of one.
func commandName(words []string, global flagKinds) string {
	for i := 0; i < len(words); i++ {
		if !strings.HasPrefix(words[i], "-") {
			return words[i]
		}
		if name, _, has := strings.Cut(strings.TrimLeft(words[i], "-"), "="); !has && global[name] {
			i++
		}
	}
	return ""
}

// startLog makes the logger that the global options ask for.
func (a *app) startLog() {
	o := a.logOptions()
	o.Colour = terminal(a.err) && !a.global.noColor
	a.log = slog.New(logging.New(a.err, o))
}

func (a *app) logOptions() logging.Options {
	o := logging.Options{PID: os.Getpid(), ID: a.global.logID}
	if o.ID == "random" {
		o.ID = uuid.NewString()
		a.global.logID = o.ID
	}
	switch g := a.global; {
	case g.trace:
		o.Level = logging.LevelTrace
	case g.verbose || g.debug:
		o.Level = slog.LevelDebug
	case g.quiet:
		o.Level = slog.LevelWarn
	}
	return o
}

// globalArgs gives the global options as arguments, for another process of this program.
func (a *app) globalArgs() []string {
	var args []string
	g := a.global
	for name, on := range map[string]bool{
		"--verbose": g.verbose || g.debug, "--quiet": g.quiet, "--trace": g.trace, "--no-agent": g.noAgent, "--no-color": g.noColor,
	} {
		if on {
			args = append(args, name)
		}
	}
	slices.Sort(args)
	if g.logID != "" {
		args = append(args, "--log-id="+g.logID)
	}
	return args
}
