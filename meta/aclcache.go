package meta

import (
	"fmt"
	"sync"
)

// aclCache remembers stored rules, which never change, and their numbers.
type aclCache struct {
	mu    sync.Mutex // guards the rest
	rules map[uint32]*ACL
	ids   map[string]uint32 // by stored form
	all   bool              // every rule that was there when the first new one was needed is known
}

func (c *aclCache) get(id uint32) *ACL {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rules[id]
}

// learn remembers a rule that is stored. Of equal rules any is as good as the other.
func (c *aclCache) learn(id uint32, stored []byte) (*ACL, error) {
	rule, err := DecodeACL(stored)
	if err != nil {
		return nil, fmt.Errorf("rule %d: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rules == nil {
		c.rules, c.ids = map[uint32]*ACL{}, map[string]uint32{}
	}
	c.rules[id] = &rule
	c.ids[string(stored)] = id
	return &rule, nil
}

func (c *aclCache) find(stored []byte) (id uint32, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids[string(stored)], c.all
}

func (c *aclCache) load(r Reader, id uint32) (*ACL, error) {
	if rule := c.get(id); rule != nil {
		return rule, nil
	}
	b, ok, err := r.ACL(id)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("%w: ACL rule %d is missing", ErrCorrupt, id)
	}
	return c.learn(id, b)
}

// learnAll makes every stored rule known.
func (c *aclCache) learnAll(r Reader) error {
	all, err := r.ACLs()
	if err != nil {
		return err
	}
	for id, b := range all {
		if _, err := c.learn(id, b); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.all = true
	c.mu.Unlock()
	return nil
}

// aclReader and aclTx are what operations see of a volume with ACLs.
type aclReader struct {
	Reader
	c *aclCache
}

func (r aclReader) rule(id uint32) (*ACL, error) { return r.c.load(r.Reader, id) }

type aclTx struct {
	Tx
	c     *aclCache
	added map[uint32][]byte // known for good once the transaction is committed
}

func (t *aclTx) rule(id uint32) (*ACL, error) { return t.c.load(t.Tx, id) }

// withACLs gives fn the cache of rules, and done to be called after the commit.
func (c *aclCache) withACLs(fn func(Tx) error) (run func(Tx) error, done func()) {
	var last *aclTx
	run = func(tx Tx) error {
		last = &aclTx{Tx: tx, c: c}
		return fn(last)
	}
	done = func() {
		for id, b := range last.added {
			_, _ = c.learn(id, b) // it was encoded here
		}
	}
	return run, done
}

// loadACL gives a stored rule.
func loadACL(r Reader, id uint32) (*ACL, error) {
	if c, ok := r.(interface{ rule(uint32) (*ACL, error) }); ok {
		return c.rule(id)
	}
	return new(aclCache).load(r, id)
}

// storeACL gives the number of a rule, which is stored unless an equal one is known.
func storeACL(tx Tx, rule ACL) (uint32, error) {
	b := EncodeACL(&rule)
	t, ok := tx.(*aclTx)
	if !ok {
		return tx.AddACL(b)
	}
	id, all := t.c.find(b)
	if id == 0 && !all {
		if err := t.c.learnAll(t.Tx); err != nil {
			return 0, err
		}
		id, _ = t.c.find(b)
	}
	if id != 0 {
		return id, nil
	}
	for id, have := range t.added {
		if string(have) == string(b) {
			return id, nil
		}
	}
	id, err := tx.AddACL(b)
	if err != nil {
		return 0, err
	}
	if t.added == nil {
		t.added = map[uint32][]byte{}
	}
	t.added[id] = b
	return id, nil
}
