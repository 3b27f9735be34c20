package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"jfs/internal/redact"
	"jfs/maintain"
	"jfs/meta"
	"jfs/object/encrypt"
)

type loadOptions struct {
	threads     int
	encryptKey  string // path
	encryptAlgo string
}

func loadFlags() table[loadOptions] {
	return table[loadOptions]{
		{name: "encrypt-rsa-key", to: toText(func(o *loadOptions) *string { return &o.encryptKey }), help: "file of the RSA private key with which the dump is encrypted, as a backup of a volume with encrypted data is"},
		{name: "encrypt-algo", def: encrypt.AES, to: choice(func(o *loadOptions) *string { return &o.encryptAlgo }, encrypt.AES, encrypt.ChaCha), help: "cipher of an encrypted dump: aes256gcm-rsa or chacha20-rsa"},
		{name: "binary", boolean: true, state: later, help: "the dump is in the binary form"},
		{name: "stat", boolean: true, state: later, help: "show what a binary dump holds"},
		{name: "offset", def: "0", state: holds, only: []string{"0"}, help: "place in a binary dump"},
		{name: "threads", def: "10", to: toCount(func(o *loadOptions) *int { return &o.threads }), help: "transactions at a time"},
	}
}

func (a *app) addLoad(root *cobra.Command) error {
	return addCommand(a, root, command[loadOptions]{
		use:   "load META-URL [FILE]",
		short: "make a volume in an empty database from a dump in a file, or from the input",
		args:  1,
		most:  2,
		flags: loadFlags(),
		run: func(ctx context.Context, _ *pflag.FlagSet, opt *loadOptions, args []string) error {
			if len(args) == 1 {
				return a.load(ctx, args[0], a.in, opt)
			}
			f, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // only read
			plain, err := a.decrypted(f, opt)
			if err != nil {
				return fmt.Errorf("read %s: %w", args[1], err)
			}
			r, err := maintain.Decompressed(args[1], plain)
			if err != nil {
				return fmt.Errorf("read %s: %w", args[1], err)
			}
			return errors.Join(a.load(ctx, args[0], r, opt), r.Close())
		},
	})
}

// decrypted gives what an encrypted dump holds, which has to be read whole for that.
func (a *app) decrypted(r io.Reader, opt *loadOptions) (io.Reader, error) {
	if opt.encryptKey == "" {
		return r, nil
	}
	key, err := os.ReadFile(opt.encryptKey)
	if err != nil {
		return nil, err
	}
	c, err := a.openCipher(string(key), opt.encryptAlgo)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	data, err := c.Open(all)
	return bytes.NewReader(data), err
}

func (a *app) load(ctx context.Context, url string, r io.Reader, opt *loadOptions) (err error) {
	engine, err := a.openMeta(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	told, m := a.progress()
	err = maintain.Load(ctx, engine, r, maintain.LoadOptions{Threads: opt.threads, Progress: told})
	m.end()
	if err != nil {
		return err
	}
	f, err := meta.Load(ctx, engine)
	removed := errors.Is(err, meta.ErrSecretRemoved)
	if err != nil && !removed {
		return err
	}
	a.log.Info("loaded volume " + f.Name)
	if removed {
		a.log.Warn("the dump is without the secret key of the store: set it with \"jfs config --secret-key=KEY " + redact.URL(url) + "\"")
	}
	return nil
}
