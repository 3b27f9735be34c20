package sql

import "strings"

// kind is a group of column types of the format.
type kind uint8

const (
	kindI64  kind = iota // inodes, ids, times, counters; unsigned values as two's complement
	kindI32              // all narrower numbers
	kindID64             // primary key that the database numbers
	kindID32
	kindStr  // short text
	kindText // long text
	kindBlob // bytes
	kindVar  // bytes of a bounded number
)

// fault is what an error of the database means to a transaction.
type fault uint8

const (
	faultOther     fault = iota
	faultBusy            // nothing happened because somebody else holds a lock: again
	faultDuplicate       // a unique index has the value already
	faultFull            // no space left for the database
	faultIO              // reading or writing the database failed half-way
	faultStatement       // the statement does not fit the schema; perhaps there are no tables
	// What follows comes from servers only.
	faultTable      // there is no such table
	faultGuard      // a statement that checks something has found it untrue
	faultLost       // the connection broke
	faultRange      // a value does not fit its column
	faultText       // bytes are not text in the database's encoding
	faultLogin      // user or password are refused
	faultPrivilege  // the user may not do that
	faultNoDatabase // the server has no database of that name
)

// dialect holds what differs between databases, and nothing else.
type dialect struct {
	name string // scheme of the URL
	// types gives the type of a column; n is the bound of kindVar.
	types func(k kind, n int) string
	quote func(name string) string
	// bind turns the ? of a statement into the placeholders of the database.
	bind func(text string) string
	// upsert inserts a row of cols; where one has the same keys it applies set, a list of assignments.
	upsert func(table, keys, cols, set string) string
	// excluded is, inside upsert's set, the value of a column that could not be inserted.
	excluded func(col string) string
	// concat joins two byte strings to one of the column's own type.
	concat func(a, b string) string
	// tail is the bytes of a byte string from a position on, counted from 1.
	tail func(a, from string) string
	// beginRead and beginWrite open a transaction: one snapshot, and with the right to write.
	beginRead, beginWrite string
	// hasTable finds a table by name, columns lists the columns of one.
	hasTable, columns string
	// readSequence reads the last number given to a row of a kindID table, setSequence changes it.
	readSequence, setSequence string
	classify                  func(err error) fault
	// usageInline says that the counters of the volume are written in each transaction, because one writer
	// has them to itself. Where several clients contend for their rows the deltas are to be collected.
	usageInline bool

	server *serverDialect // nil for SQLite
}

// serverDialect is what only databases on servers need.
type serverDialect struct {
	begin      []string // of a transaction that changes something; each statement sees what is committed then
	beginRead  []string // of a snapshot
	lock       string   // behind a SELECT: locks the rows against changes
	share      string   // locks them against changes of what Perm promises
	must       func(text string) []statement
	guard      func(from, lock string) string // fails with faultGuard unless from, "FROM ... WHERE ...", finds a row
	guardNone  func(from string) string       // ... if it finds one
	lastID     string                         // reads the number that the insertion before has given; "": it tells by itself
	indexes    string                         // lists the indexes of all tables: name
	allColumns string                         // lists the columns of all tables: table, column
	tableTail  string                         // behind CREATE TABLE
	inline     bool                           // indexes are made with their table
	// In what follows @name stands for a table and ? for a parameter.
	reserve    func(counter string, first int64, create bool) []statement
	newACL     func(insert string) string
	reserveACL func(n int64) []statement
	nextACL    string
	resetACL   string
	schemaLock string // begins a script that creates tables; "": nothing does
	// definite says of an error of the last round trip that nothing was committed. before: it came from a
	// statement before the COMMIT.
	definite func(err error, before bool) bool
}

// placeholders is the VALUES list of n parameters.
func placeholders(n int) string { return "(" + strings.Repeat("?,", n-1) + "?)" }
