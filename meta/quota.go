package meta

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// use is an amount of what quotas limit: bytes and inodes.
type use struct{ space, inodes int64 }

func (u use) plus(d use) use { return use{u.space + d.space, u.inodes + d.inodes} }

func (u use) negate() use { return use{-u.space, -u.inodes} }

// charge is the use that an inode makes.
func charge(a *Attr) use { return use{a.Space(), 1} }

// quotas is what this client knows of the quota records: as stored when they were last loaded, and moved by its own
// changes, which it collects and flushes.
type quotas struct {
	// io is held while records are loaded or flushed, so that no change is counted twice or not at all. It is
	// taken before mu.
	io sync.Mutex

	mu       sync.RWMutex // guards the rest
	records  map[QuotaKey]Quota
	pending  map[QuotaKey]use // not flushed
	flushing map[QuotaKey]use // on the way

	dirs atomic.Int64 // how many of the records are of directories: without any, nobody asks for parents
}

const (
	quotaFlushInterval = 3 * time.Second
	quotaFlushBatch    = 200 // records per transaction
)

func (q *quotas) set(records map[QuotaKey]Quota) {
	dirs := int64(0)
	for key := range records {
		if key.Kind == QuotaDir {
			dirs++
		}
	}
	q.mu.Lock()
	q.records = records
	q.mu.Unlock()
	q.dirs.Store(dirs)
}

// get gives a record with the changes of this client.
func (q *quotas) get(key QuotaKey) (Quota, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	r, ok := q.records[key]
	d := q.pending[key].plus(q.flushing[key])
	r.UsedSpace += d.space
	r.UsedInodes += d.inodes
	return r, ok
}

func (q *quotas) has(key QuotaKey) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	_, ok := q.records[key]
	return ok
}

// allows says whether there is room for more. Only additions are checked.
func (q *quotas) allows(key QuotaKey, d use) bool {
	r, ok := q.get(key)
	return !ok || (d.space <= 0 || r.MaxSpace <= 0 || r.UsedSpace+d.space <= r.MaxSpace) &&
		(d.inodes <= 0 || r.MaxInodes <= 0 || r.UsedInodes+d.inodes <= r.MaxInodes)
}

func (q *quotas) add(key QuotaKey, d use) {
	if d == (use{}) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending == nil {
		q.pending = map[QuotaKey]use{}
	}
	q.pending[key] = q.pending[key].plus(d)
}

// forget drops a record that is gone.
func (q *quotas) forget(key QuotaKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pending, key)
	if _, ok := q.records[key]; !ok {
		return
	}
	delete(q.records, key)
	if key.Kind == QuotaDir {
		q.dirs.Add(-1)
	}
}

// take gives up to n records with changes to flush; settle must follow.
func (q *quotas) take(n int) []QuotaKey {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushing = make(map[QuotaKey]use, min(len(q.pending), n))
	for key, d := range q.pending {
		if len(q.flushing) == n {
			break
		}
		delete(q.pending, key)
		if _, ok := q.records[key]; d == (use{}) || key.Kind == QuotaDir && !ok {
			continue
		}
		q.flushing[key] = d
	}
	// in one order, so that clients do not lock rows crosswise
	return sortedKeys(q.flushing)
}

// settle ends a flush. After an unknown outcome the changes are given up, as counting them twice is worse: what is
// wrong then is put right by CheckQuotas.
func (q *quotas) settle(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, d := range q.flushing {
		switch {
		case errors.Is(err, ErrUnknown):
		case err != nil:
			q.pending[key] = q.pending[key].plus(d)
		default:
			r, ok := q.records[key]
			if !ok {
				r = Quota{MaxSpace: -1, MaxInodes: -1}
			}
			r.UsedSpace += d.space
			r.UsedInodes += d.inodes
			q.records[key] = r
		}
	}
	q.flushing = nil
}

// loadQuotas takes over what other clients have stored.
func (v *Volume) loadQuotas(ctx context.Context) error {
	v.quotas.io.Lock()
	defer v.quotas.io.Unlock()
	return v.reloadQuotas(ctx)
}

// reloadQuotas is loadQuotas for who holds io.
func (v *Volume) reloadQuotas(ctx context.Context) error {
	var records map[QuotaKey]Quota
	err := v.view(ctx, func() string { return "read quotas" }, Want{}, func(r Reader) (err error) {
		records, err = r.Quotas()
		return err
	})
	if err != nil {
		return err
	}
	if records == nil {
		records = map[QuotaKey]Quota{}
	}
	v.quotas.set(records)
	return nil
}

// flushQuotas adds the collected changes to the stored usage.
func (v *Volume) flushQuotas(ctx context.Context) error {
	q := &v.quotas
	q.io.Lock()
	defer q.io.Unlock()
	for {
		keys := q.take(quotaFlushBatch)
		if len(keys) == 0 {
			return nil
		}
		err := v.update(ctx, func() string { return "flush usage of quotas" }, Want{}, func(tx Tx) error {
			for _, key := range keys {
				d := q.flushing[key] // written by settle only, which comes after
				tx.AddQuotaUsage(key, d.space, d.inodes)
			}
			return nil
		})
		q.settle(err)
		if errors.Is(err, ErrUnknown) {
			return errors.Join(err, v.reloadQuotas(ctx))
		}
		if err != nil {
			return err
		}
	}
}

func (v *Volume) flushQuotasLoop(ctx context.Context) {
	tick := time.NewTicker(quotaFlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := v.flushQuotas(ctx); err != nil && ctx.Err() == nil {
				v.log.Warn("flush usage of quotas", "err", err)
			}
		}
	}
}
