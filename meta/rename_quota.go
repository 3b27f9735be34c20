package meta

import (
	"context"
	"errors"
)

// errWeigh ends a run of a move that needs the totals of a directory, see move.weigh.
var errWeigh = errors.New("totals of a directory are needed")

// quotas finds what the move changes in the quotas of directories, and whether it fits. a is the attribute of what
// moves, ta that of what it replaces or is exchanged with.
func (m *move) quotas(a, ta *Attr) error {
	if m.from.Dir == m.to.Dir || m.v.quotas.dirs.Load() == 0 {
		return nil
	}
	from, err := m.v.chain(m.from.Dir)
	if err != nil {
		return err
	}
	to, err := m.v.chain(m.to.Dir)
	if err != nil {
		return err
	}
	if nearest(from) == nearest(to) {
		return nil
	}
	there, err := m.weight(m.src, a)
	if err != nil {
		return err
	}
	m.bill = bill{}
	m.bill.add(from, there.negate())
	m.bill.add(to, there)
	fits := m.bill
	if m.exchange {
		back, err := m.weight(m.dst, ta)
		if err != nil {
			return err
		}
		m.bill.add(to, back.negate())
		m.bill.add(from, back)
	} else if m.dst.Ino != 0 {
		// What it replaces makes room. That is charged with the removal.
		fits = bill{}
		fits.add(from, there.negate())
		fits.add(to, there.plus(charge(ta).negate()))
	}
	return m.v.checkBill(fits)
}

func nearest(chain []Ino) Ino {
	if len(chain) == 0 {
		return 0
	}
	return chain[0]
}

// weight is what an entry takes with it when it moves.
func (m *move) weight(e Entry, a *Attr) (use, error) {
	if e.Type != TypeDirectory {
		return charge(a), nil
	}
	if q, ok := m.v.quotas.get(QuotaKey{QuotaDir, uint64(e.Ino)}); ok {
		return use{q.UsedSpace, q.UsedInodes}.plus(use{pageSize, 1}), nil
	}
	if d, ok := m.totals[e.Ino]; ok {
		return d, nil
	}
	m.weigh = e.Ino
	return use{}, errWeigh
}

// learnTotals finds the totals for which a run has ended.
func (m *move) learnTotals(ctx context.Context) error {
	t, err := m.v.Summary(ctx, m.weigh, false)
	if err != nil {
		return err
	}
	if m.totals == nil {
		m.totals = map[Ino]use{}
	}
	m.totals[m.weigh] = t.use()
	return nil
}
