package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mysqlLimits begins a connection. What MySQL does with each statement depends on what is set here: a list of slices
// that does not fit its column must be an error and not be cut, and a transaction sees what is committed when a statement
// runs, so that reads without a lock are not older than the locks. MariaDB also ends transactions whose client is gone.
const mysqlLimits = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1," +
	" innodb_lock_wait_timeout = 10; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;" +
	" /*M! SET SESSION idle_transaction_timeout = 60 */"

// mysqlCompound gives 1 on servers that know BEGIN NOT ATOMIC.
const mysqlCompound = "SELECT /*M!100101 1 + */ 0"

type mysqlLink struct {
	c    driver.Conn
	w    *wire
	lost bool

	compound bool // the server is MariaDB, and takes several statements as one

	text strings.Builder
	args []driver.NamedValue
}

func connectMySQL(ctx context.Context, cfg *mysql.Config, dial func(last func(*wire)) func(ctx context.Context, network, addr string) (net.Conn, error)) (link, error) {
	l := &mysqlLink{}
	cfg.DialFunc = dial(func(w *wire) { l.w = w })
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	if l.c, err = connector.Connect(ctx); err != nil {
		return nil, err
	}
	var compound number
	if _, err := l.trip(ctx, []call{{text: mysqlLimits}, {text: mysqlCompound, dest: []any{&compound}}}); err != nil {
		l.close()
		return nil, err
	}
	l.compound = compound == 1
	return l, nil
}

func (l *mysqlLink) script(ctx context.Context, text string) error {
	_, err := l.trip(ctx, []call{{text: text}})
	return err
}

// trip sends one text. Only statements that give rows tell how far the server came. Where nobody needs that they are made
// one statement: the server sends an answer to each, and that costs it about as much as a small change.
func (l *mysqlLink) trip(ctx context.Context, calls []call) (done int, err error) {
	l.text.Reset()
	l.args = l.args[:0]
	silent := l.compound && silent(calls)
	if silent {
		l.text.WriteString("BEGIN NOT ATOMIC ")
	}
	for i := range calls {
		if i > 0 {
			l.text.WriteString("; ")
		}
		if silent && calls[i].dest != nil {
			l.text.WriteString("SET @jfs = (")
			l.text.WriteString(calls[i].text)
			l.text.WriteString(")")
		} else {
			l.text.WriteString(calls[i].text)
		}
		for _, a := range calls[i].args {
			if n, ok := a.(int); ok {
				a = int64(n)
			}
			l.args = append(l.args, driver.NamedValue{Ordinal: len(l.args) + 1, Value: a})
		}
	}
	if silent {
		l.text.WriteString("; END")
		done, err = l.runSilent(ctx, calls)
	} else {
		done, err = l.run(ctx, calls)
	}
	clear(l.args)
	if classifyMySQL(err) == faultLost || ctx.Err() != nil {
		l.lost = true
	}
	return done, err
}

// silent says that nobody looks at rows of calls, and that a failed check means the same whichever it was.
func silent(calls []call) bool {
	if len(calls) < 2 {
		return false
	}
	var untrue error
	for i := range calls {
		c := &calls[i]
		switch {
		case c.dest == nil:
		case c.untrue == nil || c.row != nil || untrue != nil && !errors.Is(c.untrue, untrue):
			return false
		default:
			untrue = c.untrue
		}
	}
	return true
}

// runSilent takes the first check for the one that has failed, if one has, and else the last call.
func (l *mysqlLink) runSilent(ctx context.Context, calls []call) (done int, err error) {
	_, err = l.c.(driver.ExecerContext).ExecContext(ctx, l.text.String(), l.args)
	if err == nil {
		return len(calls), nil
	}
	if errors.Is(err, driver.ErrSkip) {
		return 0, errors.New("statements are larger than a packet of the driver")
	}
	for done < len(calls)-1 && (calls[done].untrue == nil || classifyMySQL(err) != faultGuard) {
		done++
	}
	return done, err
}

func (l *mysqlLink) run(ctx context.Context, calls []call) (done int, err error) {
	next := func() { // the first that is not done and gives rows
		for done < len(calls) && calls[done].dest == nil {
			done++
		}
	}
	res, err := l.c.(driver.QueryerContext).QueryContext(ctx, l.text.String(), l.args)
	if err != nil {
		next()
		if errors.Is(err, driver.ErrSkip) {
			return 0, errors.New("statements are larger than a packet of the driver")
		}
		return done, err
	}
	defer func() {
		if e := res.Close(); err == nil {
			err = e
		}
	}()
	var rowErr error
	for next(); done < len(calls); next() {
		c := &calls[done]
		vals := make([]driver.Value, len(res.Columns()))
		for {
			err := res.Next(vals)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return done, err
			}
			if rowErr == nil {
				if rowErr = scanMySQL(c.dest, vals); rowErr == nil && c.row != nil {
					rowErr = c.row()
				}
			}
		}
		done++
		if err := res.(driver.RowsNextResultSet).NextResultSet(); err != nil && !errors.Is(err, io.EOF) {
			next()
			return done, err
		}
	}
	return done, rowErr
}

func scanMySQL(dest []any, vals []driver.Value) error {
	if len(vals) != len(dest) {
		return fmt.Errorf("%d columns instead of %d", len(vals), len(dest))
	}
	for i, v := range vals {
		var err error
		switch v := v.(type) {
		case nil:
			err = scan(dest[i], nil, false)
		case []byte:
			err = scan(dest[i], v, false)
		case string:
			err = scan(dest[i], []byte(v), false)
		case int64:
			err = scanInt(dest[i], v)
		case uint64:
			if v > math.MaxInt64 {
				return fmt.Errorf("column %d: %d is too large", i, v)
			}
			err = scanInt(dest[i], int64(v))
		default:
			err = fmt.Errorf("unexpected %T", v)
		}
		if err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

func scanInt(dest any, v int64) error {
	n, ok := dest.(*number)
	if !ok {
		return fmt.Errorf("integer is read into a %T", dest)
	}
	*n = number(v)
	return nil
}

func (l *mysqlLink) sent() int64 { return l.w.sent.Load() }

func (l *mysqlLink) usable() bool {
	return !l.lost && l.c.(driver.Validator).IsValid() && l.w.quiet()
}

func (l *mysqlLink) close() {
	_ = l.w.SetDeadline(time.Now().Add(farewell))
	_ = l.c.Close() // there is nothing to be done about it
}

// classifyMySQL goes by the numbers of MySQL, MariaDB and TiDB.
func classifyMySQL(err error) fault {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		if errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) {
			return faultLost
		}
		return classifyNet(err)
	}
	switch e.Number {
	case 1213, 1205, 1020, // deadlock, lock wait timeout, record has changed
		1040, 1203, 1637, // too many connections or transactions
		8002, 8022, 9007: // TiDB: write conflict
		return faultBusy
	case 1062:
		return faultDuplicate
	case 1146:
		return faultTable
	case 1690:
		return faultGuard
	case 1406, 1264:
		return faultRange
	case 1366, 1300:
		return faultText
	case 1114, 1021:
		return faultFull
	case 1045, 1698, 1251:
		return faultLogin
	case 1044, 1142, 1143, 1227, 1370:
		return faultPrivilege
	case 1049:
		return faultNoDatabase
	case 1053, 1927, 1080, 4031: // the server goes down, or has ended this session
		return faultLost
	}
	return faultOther
}

// definiteMySQL: the answers of a server that goes down or was interrupted may be about the commit.
func definiteMySQL(err error, _ bool) bool {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return classifyMySQL(err) != faultLost && e.Number != 1180 && e.Number != 1317 && e.Number != 3024
	}
	return false
}

// isEnd says that the other side, or this one, has closed a connection.
func isEnd(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}
