package sql

import "context"

// session is what a reader reads through: a connection, alone or inside a transaction.
type session interface {
	// one scans the first row into dest; ok is false when there is none.
	one(ctx context.Context, q stmt, args []any, dest ...any) (ok bool, err error)
	// many is one for each list of arguments, in one round trip; dest is scanned into before each fn.
	many(ctx context.Context, q stmt, list [][]any, fn func(i int, ok bool) error, dest ...any) error
	// each scans every row into dest and calls fn after each.
	each(ctx context.Context, q stmt, args []any, fn func() error, dest ...any) error
	space() *scratch
}

// scratch is room of a connection for scanning a row with an inode, so that reads allocate no destinations.
type scratch struct {
	row  nodeRow
	dest [numNodeCols]any
}

// point makes dest point to row.
func (s *scratch) point() {
	for i := range s.dest {
		s.dest[i] = &s.row[i]
	}
}
