package redis

import (
	"strings"
	"testing"

	"jfs/meta"
)

// TestEraseLeavesOthers: keys that are no volume's stay, and all kinds of keys of a volume go.
func TestEraseLeavesOthers(t *testing.T) {
	e := open(t, start(t).empty(), Options{})
	volume := strings.Fields(`setting i1 d1 p5 s5 x5 c5_0 k7_100 session1 locked1 lockf5 lockp5 allSessions sessionInfos
		sessions delfiles sliceRef delSlices detachedNodes acl krbToken txnLog txnLastLog dirDataLength dirUsedSpace
		dirUsedInodes dirQuota dirQuotaUsedSpace dirQuotaUsedInodes userQuota groupQuotaUsedInodes usedSpace totalInodes
		nextinode nextchunk nextsession nextTrash nextCleanupSlices aclMaxId krbTokenMaxId lastCleanupFiles lastCleanupTrash`)
	others := strings.Fields("queue items i d5x cache:1 sessionless c5 next dirt")
	for _, key := range append(append([]string{}, volume...), others...) {
		text(t, e, "SET", key, "1")
	}
	if err := e.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range volume {
		if exists(t, e, key) {
			t.Errorf("key %s is left", key)
		}
	}
	for _, key := range others {
		if !exists(t, e, key) {
			t.Errorf("key %s of somebody else is gone", key)
		}
	}
	if _, err := meta.Load(t.Context(), e); err != meta.ErrNotFormatted { //nolint:errorlint // as it is documented
		t.Errorf("load: %v", err)
	}
}

func exists(t *testing.T, e *Engine, key string) bool {
	n, err := raw(t, e, "EXISTS", key).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}
