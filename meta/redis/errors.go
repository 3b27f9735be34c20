package redis

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// maxAttempts bounds how often an operation is tried against conflicts and refusals, as the format demands.
const maxAttempts = 50

// maxReconnects bounds how often a trip is repeated whose connection was broken or refused. The pauses
// before them add up to 0.4 s at most, which covers a server that closes idle connections or restarts.
const maxReconnects = 10

// code is the first word of an error reply, which is how Redis names its errors, "ERR" for one without a name,
// and "" for an error that is no reply. rueidis cuts off the word ERR itself.
func code(err error) string {
	var own serverError
	if errors.As(err, &own) {
		return firstWord(string(own))
	}
	var re *rueidis.RedisError
	if !errors.As(err, &re) || re.IsNil() {
		return ""
	}
	return firstWord(re.Error())
}

// firstWord also finds the error of a command that Redis before version 7 puts behind a text about the script.
func firstWord(text string) string {
	text = strings.TrimPrefix(text, "ERR ")
	if i := strings.Index(text, ": -"); i >= 0 && strings.HasPrefix(text, "Error running script") {
		text = text[i+2:]
	}
	word, _, _ := strings.Cut(strings.TrimLeft(text, "-"), " ")
	if word == "" || strings.ToUpper(word) != word {
		return "ERR"
	}
	return word
}

// refused says that the server did not run the command and may run it later.
func refused(err error) bool {
	switch code(err) {
	case "LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "EXECABORT", "BUSY", "MASTERDOWN":
		return true
	case "ERR": // this one has no code of its own
		return strings.Contains(err.Error(), "max number of clients reached")
	}
	return false
}

// unsent says that the server has seen nothing, mostly because no connection could be made.
func unsent(err error) bool {
	if errors.Is(err, errUnsent) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// broken says that a connection ended before the answer came.
func broken(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return !op.Timeout() // whoever has waited that long does not want to wait again
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// passes says whether an attempt that failed like this is worth another one. harmless is a
// command that may run twice.
func passes(err error, attempt int, harmless bool) bool {
	switch {
	case attempt >= maxAttempts:
		return false
	case refused(err):
		return true
	case attempt >= maxReconnects || !broken(err):
		return false
	}
	return harmless || unsent(err)
}

// pause waits a random time of up to attempt² ms.
func pause(ctx context.Context, attempt int) error {
	d := rand.N(time.Duration(attempt*attempt) * time.Millisecond)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
