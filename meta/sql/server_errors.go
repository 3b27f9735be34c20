package sql

import (
	"errors"
	"fmt"
	"io/fs"
	"net"

	"jfs/internal/posix"
	"jfs/meta"
)

// What keeps an engine from its server.
var (
	// ErrUnreachable: nobody answers at the address.
	ErrUnreachable = errors.New("metadata database is unreachable: check the address, that the server runs, and that nothing is in between")
	// ErrLogin: the server does not accept user or password.
	ErrLogin = errors.New("metadata database refuses the login: check user and password of the url, or give the password in META_PASSWORD")
	// ErrNoDatabase: the server has no such database.
	ErrNoDatabase = errors.New("there is no such database on the server: create it first (CREATE DATABASE), or correct the url")
	// ErrPrivilege: the user may not read, write or create what is needed.
	ErrPrivilege = errors.New("the user of the metadata database lacks privileges: grant all on the database")
)

// errStale ends a run of a transaction that rests on something that has changed meanwhile.
var errStale = errors.New("a record has changed meanwhile")

// explain adds to an error what it means and what is to be done.
func (d *dialect) explain(err error) error {
	switch d.classify(err) {
	case faultTable:
		return fmt.Errorf("%w: %w", meta.ErrNotFormatted, err)
	case faultFull:
		return fmt.Errorf("%w: %w", posix.ENOSPC, err)
	case faultText:
		return fmt.Errorf("%w: %w", posix.EINVAL, err)
	case faultLogin:
		return fmt.Errorf("%w: %w", ErrLogin, err)
	case faultPrivilege:
		return fmt.Errorf("%w: %w", ErrPrivilege, err)
	case faultNoDatabase:
		return fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	return err
}

// unreachable says that a connection was not even made.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || errors.Is(err, fs.ErrNotExist)
}
