package sql

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// The server itself ends what its client has forgotten or lost: a wait for a lock, and a transaction whose client does not
// come back, whose locks would block everybody.
const postgresLimits = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s';" +
	" SET default_transaction_isolation = 'read committed'"

type postgresLink struct {
	c *pgx.Conn
	w *wire
}

// connectPostgres connects. The configuration is changed and belongs to this connection.
func connectPostgres(ctx context.Context, cfg *pgx.ConnConfig, dial func(last func(*wire)) pgconn.DialFunc) (link, error) {
	var last atomic.Pointer[wire] // the driver may make others later, to have a statement given up
	cfg.DialFunc = dial(last.Store)
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	l := &postgresLink{c: c, w: last.Load()}
	if err := l.script(ctx, postgresLimits); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *postgresLink) script(ctx context.Context, text string) error {
	_, err := l.c.PgConn().Exec(ctx, text).ReadAll()
	return err
}

func (l *postgresLink) trip(ctx context.Context, calls []call) (done int, err error) {
	var batch pgx.Batch
	for i := range calls {
		batch.Queue(calls[i].text, calls[i].args...)
	}
	res := l.c.SendBatch(ctx, &batch)
	var rowErr error
	for i := range calls {
		c := &calls[i]
		if c.dest == nil {
			_, err = res.Exec()
		} else {
			err = drain(res, c, &rowErr)
		}
		if err != nil {
			break
		}
		done++
	}
	if e := res.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = rowErr
	}
	return done, err
}

// drain reads the rows of one call. What its row function says is kept apart: the connection is in order then.
func drain(res pgx.BatchResults, c *call, rowErr *error) error {
	rows, err := res.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	fields := rows.FieldDescriptions()
	for rows.Next() {
		if *rowErr != nil {
			continue
		}
		if *rowErr = scanPostgres(c.dest, rows.RawValues(), fields); *rowErr == nil && c.row != nil {
			*rowErr = c.row()
		}
	}
	return rows.Err()
}

func scanPostgres(dest []any, raw [][]byte, fields []pgconn.FieldDescription) error {
	if len(raw) != len(dest) {
		return fmt.Errorf("%d columns instead of %d", len(raw), len(dest))
	}
	for i, b := range raw {
		binary := fields[i].Format == pgtype.BinaryFormatCode
		if fields[i].DataTypeOID == pgtype.ByteaOID && !binary && b != nil {
			var err error
			if b, err = hex.DecodeString(strings.TrimPrefix(string(b), `\x`)); err != nil {
				return fmt.Errorf("column %s: %w", fields[i].Name, err)
			}
		}
		if err := scan(dest[i], b, binary); err != nil {
			return fmt.Errorf("column %s: %w", fields[i].Name, err)
		}
	}
	return nil
}

func (l *postgresLink) sent() int64 { return l.w.sent.Load() }

func (l *postgresLink) usable() bool { return !l.c.IsClosed() && l.w.quiet() }

// farewell bounds the end of a connection.
const farewell = 2 * time.Second

func (l *postgresLink) close() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = l.c.Close(ctx) // there is nothing to be done about it
	// The driver may still be trying to tell the server that a statement was given up.
	_ = l.w.SetDeadline(time.Now())
	select {
	case <-l.c.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// classifyPostgres goes by the codes of PostgreSQL.
func classifyPostgres(err error) fault {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return classifyNet(err)
	}
	switch e.Code {
	case "40001", "40P01", // serialization failure, deadlock
		"55P03",                   // no lock within lock_timeout
		"25P02",                   // the transaction had failed before
		"53300", "57P03", "0A000": // too many connections, starting up, plan of a changed table
		return faultBusy
	case "23505":
		return faultDuplicate
	case "42P01":
		return faultTable
	case "22012":
		return faultGuard
	case "22003":
		return faultRange
	case "22021", "22P05":
		return faultText
	case "53100":
		return faultFull
	case "28P01", "28000":
		return faultLogin
	case "42501":
		return faultPrivilege
	case "3D000":
		return faultNoDatabase
	case "57P01", "57P02", "57P05", "25P03": // the server goes down, or has given up this session
		return faultLost
	}
	if strings.HasPrefix(e.Code, "08") {
		return faultLost
	}
	return faultOther
}

// definitePostgres: an answer of the server about a statement is final. One that ends the session may come after the commit.
func definitePostgres(err error, before bool) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return before || e.Severity == "ERROR" || e.SeverityUnlocalized == "ERROR"
	}
	return false
}

// classifyNet tells a broken connection from anything else that is no answer of a server.
func classifyNet(err error) fault {
	var e net.Error
	if errors.As(err, &e) || pgconn.SafeToRetry(err) || isEnd(err) {
		return faultLost
	}
	return faultOther
}
