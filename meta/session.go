package meta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// SessionInfo describes a client in its session record.
type SessionInfo struct {
	Version    string // parseable by the official client's rules, see CompatVersion
	HostName   string
	IPAddrs    []string `json:",omitempty"`
	MountPoint string
	MountTime  time.Time
	ProcessID  int
}

// session is this client's session.
type session struct {
	id   atomic.Uint64
	info []byte

	mu        sync.Mutex   // guards sustained
	sustained map[Ino]bool // inodes without a name that this client keeps; true: it may get one (O_TMPFILE)
}

// A session expires when it has missed this many heartbeats.
const missedBeats = 5

// staleBatch bounds how many stale sessions are cleaned in one run.
const staleBatch = 1000

// Sid is the number of this client's session, 0 if it has none.
func (v *Volume) Sid() uint64 { return v.sess.id.Load() }

func (s *session) keep(ino Ino, linkable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sustained == nil {
		s.sustained = map[Ino]bool{}
	}
	s.sustained[ino] = linkable
}

func (s *session) sustains(ino Ino) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sustained[ino]
	return ok
}

func (s *session) mayLink(ino Ino) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sustained[ino]
}

func (s *session) forget(ino Ino) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sustained, ino)
}

// StartSession records this client among those that use the volume and keeps the record alive until Close.
func (v *Volume) StartSession(ctx context.Context, info SessionInfo) error {
	if v.opt.ReadOnly {
		return nil
	}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	v.sess.info = b
	for {
		sid, err := v.engine.Reserve(ctx, SeqSession, 1)
		if err != nil {
			return fmt.Errorf("session number: %w", err)
		}
		taken := false
		err = v.update(ctx, func() string { return "record session" }, Want{}, func(tx Tx) error {
			_, ok, err := tx.Session(sid)
			if taken = ok; err != nil || ok {
				return err
			}
			tx.SetSession(SessionRecord{Sid: sid, Expire: v.expire(), Info: b})
			return nil
		})
		if err != nil {
			return err
		}
		if !taken {
			v.sess.id.Store(sid)
			break
		}
	}
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	end := v.stop
	v.stop = func() { stop(); end() }
	if v.opt.Heartbeat > 0 {
		v.bg.Go(func() { v.heartbeat(bg) })
	}
	if !v.opt.NoBGJob {
		v.bg.Go(func() { v.jobsLoop(bg) })
	}
	return nil
}

func (v *Volume) expire() int64 {
	if v.opt.Heartbeat < 0 {
		return v.now().AddDate(1, 0, 0).Unix()
	}
	return v.now().Add(missedBeats * v.opt.Heartbeat).Unix()
}

func (v *Volume) heartbeat(ctx context.Context) {
	for {
		// ± 5 %, so that many clients do not beat together
		pause := time.Duration(float64(v.opt.Heartbeat) * (0.95 + 0.1*rand.Float64()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if err := v.beat(ctx); err != nil && ctx.Err() == nil {
			v.log.Warn("heartbeat", "session", v.Sid(), "err", err)
		}
	}
}

// beat is one heartbeat.
func (v *Volume) beat(ctx context.Context) error {
	sid := v.Sid()
	err := v.update(ctx, func() string { return "refresh session" }, Want{}, func(tx Tx) error {
		r, ok, err := tx.Session(sid)
		if err != nil {
			return err
		}
		next := SessionRecord{Sid: sid, Expire: v.expire()}
		if !ok || len(r.Info) == 0 {
			next.Info = v.sess.info // others took us for dead
		}
		tx.SetSession(next)
		return nil
	})
	if err := errors.Join(err, v.reload(ctx), v.refreshUsage(ctx), v.loadQuotas(ctx)); err != nil || v.opt.NoBGJob {
		return err
	}
	won, err := v.setIfSmall(ctx, LastCleanupSessions, int64(v.opt.Heartbeat.Seconds()*0.9))
	if err != nil || !won {
		return err
	}
	return v.CleanStaleSessions(ctx)
}

// reload takes over what other clients have changed in the format.
func (v *Volume) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, v.opt.Timeout)
	defer cancel()
	f, err := Load(ctx, v.engine)
	old := v.format.Load()
	switch {
	case errors.Is(err, ErrNotFormatted):
	case err != nil:
		return err
	case f.MetaVersion > metaVersion:
		err = f.Usable()
	case f.UUID != old.UUID:
		err = fmt.Errorf("the database holds another volume now: %s instead of %s", f.UUID, old.UUID)
	}
	if err != nil {
		if v.opt.Lost != nil {
			v.opt.Lost(err)
		}
		return err
	}
	if v.sameFormat(&f, old) {
		return nil
	}
	v.format.Store(&f)
	changes, err := old.ChangesTo(f)
	if err != nil {
		return err
	}
	for _, c := range changes {
		v.log.Info("volume setting has changed", "name", c.Name, "from", c.From, "to", c.To)
	}
	if v.opt.Reloaded != nil {
		v.opt.Reloaded(f)
	}
	return nil
}

func (v *Volume) sameFormat(a, b *Format) bool {
	x, errX := a.marshal()
	y, errY := b.marshal()
	return errX == nil && errY == nil && string(x) == string(y)
}

// setIfSmall stores now under the name unless the stored time is younger than seconds, and says whether it did:
// the mutual exclusion of background jobs among all clients.
func (v *Volume) setIfSmall(ctx context.Context, name string, seconds int64) (won bool, err error) {
	err = v.update(ctx, func() string { return "claim " + name }, Want{}, func(tx Tx) error {
		won = false
		now := v.now().Unix()
		last, err := tx.Counter(name)
		if err != nil || last > now-seconds {
			return err
		}
		tx.SetCounter(name, now)
		won = true
		return nil
	})
	return won, err
}

// CleanStaleSessions removes the sessions that have expired, with their locks and unlinked inodes.
func (v *Volume) CleanStaleSessions(ctx context.Context) error {
	all, err := v.Sessions(ctx)
	if err != nil {
		return err
	}
	now, n := v.now().Unix(), 0
	for _, s := range all {
		if s.Expire >= now || s.Sid == v.Sid() {
			continue
		}
		if n++; n > staleBatch {
			break
		}
		if err := v.cleanSession(ctx, s.Sid); err != nil {
			return err
		}
		v.log.Info("removed stale session", "session", s.Sid)
	}
	return nil
}

// cleanSession removes a session and what it held.
func (v *Volume) cleanSession(ctx context.Context, sid uint64) error {
	var kept []Ino
	err := v.view(ctx, func() string { return fmt.Sprintf("inodes of session %d", sid) }, Want{}, func(r Reader) (err error) {
		kept, err = r.Sustained(sid)
		return err
	})
	if err != nil {
		return err
	}
	for _, ino := range kept {
		if err := v.dropSustained(ctx, sid, ino); err != nil {
			return err
		}
	}
	return v.update(ctx, func() string { return fmt.Sprintf("remove session %d", sid) }, Want{}, func(tx Tx) error {
		tx.DropSession(sid)
		return nil
	})
}

// endSession removes this client's own session.
func (v *Volume) endSession(ctx context.Context) error {
	sid := v.Sid()
	if sid == 0 {
		return nil
	}
	err := v.cleanSession(ctx, sid)
	v.sess.id.Store(0)
	return err
}

// Sessions lists the sessions of all clients.
func (v *Volume) Sessions(ctx context.Context) ([]SessionRecord, error) {
	var all []SessionRecord
	err := v.view(ctx, func() string { return "list sessions" }, Want{}, func(r Reader) (err error) {
		all, err = r.Sessions()
		return err
	})
	return all, err
}
