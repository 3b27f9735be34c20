package cache

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"jfs/block"
	"jfs/internal/bytepool"
)

const (
	// memoryShards spreads the lock of the index.
	memoryShards = 64
	// memorySlack is how far the tier may exceed its size for a moment, in bytes: the policy evicts after
	// it admitted, in its own goroutine, so a full cache takes a block in before another one goes.
	memorySlack = 32 << 20
	// bytesPerCounter sizes the policy's frequency sketch: ten counters for each item, taking an item as
	// 256 KiB. Many smaller blocks only blur the estimate.
	bytesPerCounter = (256 << 10) / 10
	minCounters     = 4096
	// countBatch is how many uses are gathered before the policy hears of them. A batch costs an allocation;
	// a large one would tell the policy too late, because used reports only one use for each pass.
	countBatch = 4
)

var _ Tier = (*Memory)(nil)

// Memory is the tier in memory. Ristretto decides what stays; the index is our own, because Ristretto's
// takes effect later (a block just put must be found), identifies a key by its hash only, and hands out
// values that an eviction may release at that moment.
type Memory struct {
	max    int64
	pool   *bytepool.Pool // an allocator only: what is held is bounded by max
	shards [memoryShards]memoryShard

	mu     sync.RWMutex // held for reading around each call of policy, which must not be called once closed
	closed atomic.Bool  // set with mu held
	policy *ristretto.Cache[uint64, *memoryItem]

	counters
	blocks, bytes atomic.Int64
}

type memoryShard struct {
	mu    sync.RWMutex // guards the rest; an item in items has not been released
	items map[unit]*memoryItem
	pages int // of these, pages
}

// unit is what the tier holds or lets go at a time: a block, or one page of it.
type unit struct {
	key  block.Key
	page int32 // number from 1 on; 0: the whole block
}

// hash is the same for all units of a block in its choice of a shard.
func (u unit) hash() (shard, policy uint64) {
	shard = hashKey(u.key, 0)
	if u.page == 0 {
		return shard, shard
	}
	return shard, hashKey(u.key, uint64(u.page))
}

// memoryItem is a block held. The tier's one reference to buf is given back by exit.
type memoryItem struct {
	unit
	hash uint64 // of the policy
	buf  *bytepool.Buf
	cost int64
	last atomic.Int64 // offset of the latest read
}

// NewMemory makes a memory tier of maxBytes; 0 or less makes one that holds nothing.
func NewMemory(maxBytes int64) (*Memory, error) {
	m := &Memory{max: max(maxBytes, 0), pool: bytepool.New(0)}
	if m.max == 0 {
		m.closed.Store(true)
		return m, nil
	}
	for i := range m.shards {
		m.shards[i].items = make(map[unit]*memoryItem)
	}
	policy, err := ristretto.NewCache(&ristretto.Config[uint64, *memoryItem]{
		NumCounters:        max(maxBytes/bytesPerCounter, minCounters),
		MaxCost:            maxBytes,
		BufferItems:        countBatch,
		IgnoreInternalCost: true,
		OnEvict:            m.evicted,
		OnReject:           m.rejected,
		OnExit:             m.exit,
	})
	if err != nil {
		return nil, fmt.Errorf("create memory cache of %d bytes: %w", maxBytes, err)
	}
	m.policy = policy
	return m, nil
}

// ReadAt implements Tier.
func (m *Memory) ReadAt(key block.Key, dst []byte, off int) bool {
	if !inside(key, off, len(dst)) {
		return m.read(false, len(dst))
	}
	item, buf := m.acquire(unit{key: key})
	if item == nil {
		return m.read(m.readPages(key, dst, off), len(dst))
	}
	copy(dst, buf.B[off:])
	buf.Release()
	m.used(item, int64(off))
	return m.read(true, len(dst))
}

// Acquire returns the block itself, to be released by the caller and not to be written to; nil is a miss.
func (m *Memory) Acquire(key block.Key) *bytepool.Buf {
	item, buf := m.acquire(unit{key: key})
	m.read(item != nil, int(key.Size))
	if item == nil {
		return nil
	}
	m.used(item, 0)
	return buf
}

// Has implements Tier.
func (m *Memory) Has(key block.Key) bool { return m.has(unit{key: key}) }

func (m *Memory) has(u unit) bool {
	hash, _ := u.hash()
	s := m.shard(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.items[u] != nil
}

// Put implements Tier with a copy, so that the tier does not eat the budget that buf belongs to.
func (m *Memory) Put(key block.Key, buf *bytepool.Buf) {
	if len(buf.B) != int(key.Size) || m.closed.Load() || m.Has(key) {
		return
	}
	own := m.pool.TryGet(len(buf.B))
	copy(own.B, buf.B)
	m.Adopt(key, own)
	own.Release()
}

// Adopt is Put without the copy, for a buffer that belongs to no shared budget and is never written again.
func (m *Memory) Adopt(key block.Key, buf *bytepool.Buf) {
	if len(buf.B) != int(key.Size) || m.closed.Load() {
		return
	}
	m.take(unit{key: key}, buf)
}

// take retains the buffer of a unit.
func (m *Memory) take(u unit, buf *bytepool.Buf) {
	shard, hash := u.hash()
	item := &memoryItem{unit: u, hash: hash, cost: int64(cap(buf.B))}
	item.last.Store(-1)
	if m.bytes.Add(item.cost) > m.max+memorySlack {
		m.bytes.Add(-item.cost)
		m.drops.Add(1)
		return
	}
	s := m.shard(shard)
	s.mu.Lock()
	if s.items[u] != nil {
		s.mu.Unlock()
		m.bytes.Add(-item.cost)
		return
	}
	item.buf = buf.Retain()
	s.items[u] = item
	if u.page > 0 {
		s.pages++
	}
	s.mu.Unlock()
	m.blocks.Add(1)

	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed.Load() || !m.policy.Set(item.hash, item, item.cost) {
		m.drops.Add(1)
		m.exit(item)
		return
	}
	m.wrote(len(buf.B))
	if !m.has(u) {
		m.policy.Del(item.hash) // removed between the two steps above
	}
}

// Remove implements Tier.
func (m *Memory) Remove(key block.Key) {
	s := m.shard(hashKey(key, 0))
	s.mu.Lock()
	item := s.forget(unit{key: key})
	var pages []*memoryItem
	for p := int32(1); s.pages > 0 && hasParts(key) && int64(p-1)*PageSize < int64(key.Size); p++ {
		if page := s.forget(unit{key, p}); page != nil {
			pages = append(pages, page)
		}
	}
	s.mu.Unlock()
	if item != nil {
		pages = append(pages, item)
	}
	if len(pages) == 0 {
		return
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, item := range pages {
		if !m.closed.Load() {
			m.policy.Del(item.hash)
		}
	}
}

// forget takes a unit out of the index. s.mu is held.
func (s *memoryShard) forget(u unit) *memoryItem {
	item := s.items[u]
	if item != nil {
		delete(s.items, u)
		if u.page > 0 {
			s.pages--
		}
	}
	return item
}

// Flush waits until the policy has decided about everything put or removed before; until then Stats counts it.
func (m *Memory) Flush() {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.closed.Load() {
		m.policy.Wait()
	}
}

// Stats implements Tier.
func (m *Memory) Stats() Stats {
	s := m.snapshot()
	s.Blocks, s.Bytes = m.blocks.Load(), m.bytes.Load()
	return s
}

// Close implements Tier.
func (m *Memory) Close() error {
	m.mu.Lock()
	closed := m.closed.Swap(true)
	m.mu.Unlock()
	if !closed {
		m.policy.Close() // not under mu: its goroutine may be in a callback that wants it
	}
	return nil
}

func (m *Memory) shard(hash uint64) *memoryShard { return &m.shards[hash%memoryShards] }

// acquire finds an item and takes a reference to its buffer while the index still has it, which is what
// keeps the eviction from releasing the last one first.
func (m *Memory) acquire(u unit) (*memoryItem, *bytepool.Buf) {
	s := m.shard(hashKey(u.key, 0))
	s.mu.RLock()
	defer s.mu.RUnlock()
	item := s.items[u]
	if item == nil {
		return nil, nil
	}
	return item, item.buf.Retain()
}

// used tells the policy of a use: once for each pass over a block, because thirty-two small reads of a file
// read once must not outweigh a block that comes back every minute. The pass that follows a load is counted
// when the block leaves (see evicted and rejected): the policy hears of uses too late for the block at hand,
// so residents that were used once would keep out every new block if their use counted before its own does.
func (m *Memory) used(item *memoryItem, off int64) {
	if off > item.last.Swap(off) {
		return
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.closed.Load() {
		m.policy.Get(item.hash)
	}
}

// evicted and rejected run in the policy's own goroutine, which Close stops before anything else; taking mu
// in them could wait for Close. While the policy closes it must not be asked: it holds its locks then.
func (m *Memory) evicted(i *ristretto.Item[*memoryItem]) {
	if i.Value != nil && !m.closed.Load() {
		m.evictions.Add(1)
		m.policy.Get(i.Key)
	}
}

func (m *Memory) rejected(i *ristretto.Item[*memoryItem]) {
	m.drops.Add(1)
	m.policy.Get(i.Key)
}

// exit is called exactly once for each item that was put into the index; nil comes for deletions that
// found nothing.
func (m *Memory) exit(item *memoryItem) {
	if item == nil {
		return
	}
	s := m.shard(hashKey(item.key, 0))
	s.mu.Lock()
	if s.items[item.unit] == item {
		s.forget(item.unit)
	}
	s.mu.Unlock()
	m.blocks.Add(-1)
	m.bytes.Add(-item.cost)
	item.buf.Release()
}
