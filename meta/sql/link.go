package sql

import (
	"context"
	"fmt"
	"strconv"
)

// call is a statement of a round trip.
type call struct {
	name string // for errors
	text string
	args []any
	dest []any        // where its rows are scanned to: *number, *[]byte or *string; nil: it gives none
	row  func() error // follows each row; may be nil
	// untrue is what it means when the statement fails as a check.
	untrue error
}

// link is a connection of a driver to a server.
type link interface {
	// trip sends all calls at once and hands out their rows in order. It ends at the first that fails; done is the
	// number of those that did not, as far as the database tells. Errors of a row function come last.
	trip(ctx context.Context, calls []call) (done int, err error)
	// script sends statements without parameters and rows, in one round trip.
	script(ctx context.Context, text string) error
	// sent grows with what is sent. What drivers say about that is not reliable once a connection has failed.
	sent() int64
	// usable says that the connection is whole, and inside that a transaction may be open.
	usable() bool
	close()
}

// scan puts a column as it came over the wire into a destination. binary: integers are big endian; else they are
// digits. raw is nil for NULL.
func scan(dest any, raw []byte, binary bool) error {
	switch d := dest.(type) {
	case *[]byte:
		*d = nil
		if raw != nil {
			*d = append(make([]byte, 0, len(raw)), raw...)
		}
		return nil
	case *string:
		*d = string(raw)
		return nil
	case *number:
		switch {
		case raw == nil:
			*d = 0
			return nil
		case !binary:
			n, err := strconv.ParseInt(string(raw), 10, 64)
			*d = number(n)
			return err
		case len(raw) == 8 || len(raw) == 4 || len(raw) == 2:
			n := int64(int8(raw[0]))
			for _, b := range raw[1:] {
				n = n<<8 | int64(b)
			}
			*d = number(n)
			return nil
		}
		return fmt.Errorf("integer of %d bytes", len(raw))
	}
	return fmt.Errorf("column is read into a %T", dest)
}
