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

	"jfs/internal/sleep"
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
	case "ERR": // these have no code of their own; the second is of a script that meets a key on its way to another node
		text := err.Error()
		return strings.Contains(text, "max number of clients reached") || strings.Contains(text, "non local key")
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

// patience says how attempts are repeated.
type patience struct {
	retries int           // of trips whose connection was broken or refused
	least   time.Duration // pause before the first of them; 0: as after a conflict
	most    time.Duration // longest pause, which doubles
	long    time.Duration // unless 0, such trips and refused ones are repeated for so long instead, however often
}

// moveTime is how long an operation waits for another server to take over. Sentinels and clusters do that by
// themselves, by default after 15 to 30 seconds without an answer.
const moveTime = 40 * time.Second

// patience for a server: one that stands alone is not waited for, because nobody knows whether it comes back.
func (t target) patience() patience {
	p := patience{retries: maxReconnects - 1, least: t.least, most: t.most}
	if t.form != formServer {
		p.long = moveTime
		if p.least == 0 {
			p.least = 20 * time.Millisecond
		}
	}
	switch {
	case t.retries > 0:
		p.retries, p.long = t.retries, 0
	case t.retries < 0:
		p.retries, p.long = 0, 0
	}
	if p.least > 0 && p.most == 0 {
		p.most = max(time.Second, p.least)
	}
	if p.least == 0 && p.most > 0 {
		p.least = min(20*time.Millisecond, p.most)
	}
	return p
}

// allows says whether an attempt that failed like this is worth another one. began is when the first one did, and
// harmless is a command that may run twice.
func (p patience) allows(err error, attempt int, began time.Time, harmless bool) bool {
	if p.long > 0 && (refused(err) || unsent(err) || harmless && broken(err)) {
		return time.Since(began) < p.long
	}
	switch {
	case attempt >= maxAttempts && attempt > p.retries:
		return false
	case refused(err):
		return attempt < maxAttempts
	case attempt > p.retries || !broken(err) && !errors.Is(err, errUnsent):
		return false
	}
	return harmless || unsent(err)
}

// pause is what comes before another attempt after a failure.
func (p patience) pause(ctx context.Context, attempt int) error {
	if p.least == 0 {
		return pause(ctx, attempt)
	}
	d := p.least << min(attempt-1, 20)
	if d > p.most || d <= 0 {
		d = p.most
	}
	return sleep.For(ctx, d/2+rand.N(d/2+1))
}

// pause waits a random time of up to attempt² ms.
func pause(ctx context.Context, attempt int) error {
	return sleep.For(ctx, rand.N(time.Duration(attempt*attempt)*time.Millisecond))
}
