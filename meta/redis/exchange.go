package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"jfs/meta"
)

// learn takes over what answers tell, in the order in which the server gave them; era is that of the link on which
// they came, 0 for another connection.
type learn func(era uint64, answers []reply)

// ask sends commands that only read, as one trip, and repeats them while the failure is one that passes. Every
// answer is none of an error.
func (e *Engine) ask(ctx context.Context, then learn, cmds ...[]string) ([]reply, error) {
	checked := func(era uint64, answers []reply) {
		if then != nil && failure(answers) == nil {
			then(era, answers)
		}
	}
	began := time.Now()
	for attempt := 1; ; attempt++ {
		answers, err := e.exchange(ctx, checked, cmds)
		if err == nil {
			if err = failure(answers); err == nil {
				return answers, nil
			}
		}
		if !e.client.patience.allows(err, attempt, began, true) {
			return nil, explain(err)
		}
		if err := e.client.patience.pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// exchange sends commands once, on the link if there is one.
func (e *Engine) exchange(ctx context.Context, then learn, cmds [][]string) ([]reply, error) {
	if l := e.tracker.get(); l != nil {
		answers, err := e.onLink(ctx, l, then, cmds)
		if !errors.Is(err, errUnsent) && !asks(answers) {
			return answers, err
		}
		if err != nil {
			e.tracker.lost(l)
		}
	}
	return e.client.exchange(ctx, then, cmds)
}

func (e *Engine) onLink(ctx context.Context, l *tracked, then learn, cmds [][]string) ([]reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.client.onTrip != nil {
		e.client.onTrip(len(cmds))
	}
	where := e.client.where
	before := where.left()
	answers, err := l.do(ctx, func(answers []reply) { then(l.era, answers) }, cmds...)
	if err == nil && where.moves() {
		where.leave(before, failure(answers))
	}
	return answers, err
}

// asks says that an answer sends to another node for this time. A link is not made for that, because what it reads is
// on the node that it leads to; other connections are.
func asks(answers []reply) bool { return code(failure(answers)) == "ASK" }

// exchange sends commands once on another connection than the link.
func (c *client) exchange(ctx context.Context, then learn, cmds [][]string) ([]reply, error) {
	built := make([]rueidis.Completed, len(cmds))
	for i, words := range cmds {
		built[i] = c.B().Arbitrary(words...).Build()
	}
	answers := make([]reply, len(cmds))
	for i, r := range c.trip(ctx, built...) {
		m, err := r.ToMessage()
		var re *rueidis.RedisError
		switch {
		case err == nil:
			answers[i], err = convert(&m)
		case rueidis.IsRedisNil(err):
			err = nil
		case errors.As(err, &re):
			answers[i], err = reply{kind: replyError, text: re.Error()}, nil
		}
		if err != nil {
			return nil, err
		}
	}
	then(0, answers)
	return answers, nil
}

// change sends a script that writes, once. An error that wraps meta.ErrUnknown means that nobody knows whether it
// ran; after any other error it has not.
func (e *Engine) change(ctx context.Context, then learn, s *script, keys, args []string) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	ctx, cancel := e.client.underWay(ctx)
	defer cancel()
	answer, err := e.changeOnce(ctx, then, s.bySum(keys, args))
	if code(err) == "NOSCRIPT" {
		answer, err = e.changeOnce(ctx, then, s.byText(keys, args))
	}
	if err != nil && code(err) == "" && !unsent(err) {
		err = fmt.Errorf("%w: %w", meta.ErrUnknown, err)
	}
	return answer, explain(err)
}

// firstWords are sent before a change. A server writes to its clients, when it has run what it has read from one, in
// the reverse order of those who have got an answer: with an answer before the change, whoever asked for that
// comes after those who are told of it. So they know when it returns.
var firstWords = []string{"PING"}

func (e *Engine) changeOnce(ctx context.Context, then learn, words []string) (reply, error) {
	checked := func(era uint64, answers []reply) {
		if last := answers[len(answers)-1:]; last[0].kind != replyError {
			then(era, last)
		}
	}
	answers, err := e.changeAnyhow(ctx, checked, words)
	if err != nil {
		return reply{}, err
	}
	last := answers[len(answers)-1:]
	return last[0], failure(last)
}

func (e *Engine) changeAnyhow(ctx context.Context, then learn, words []string) ([]reply, error) {
	t := e.tracker
	if t == nil {
		return e.client.exchange(ctx, then, [][]string{words})
	}
	for {
		if l := t.get(); l != nil {
			answers, err := e.onLink(ctx, l, then, [][]string{firstWords, words})
			if asks(answers) { // the link lives on, and what is written elsewhere is told to nobody
				return e.client.exchange(ctx, then, [][]string{words})
			}
			if !errors.Is(err, errUnsent) {
				return answers, err
			}
			t.lost(l)
		}
		t.detour.RLock()
		if t.get() == nil {
			defer t.detour.RUnlock()
			return e.client.exchange(ctx, then, [][]string{words})
		}
		t.detour.RUnlock()
	}
}
