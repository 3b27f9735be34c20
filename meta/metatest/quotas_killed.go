package metatest

import (
	"testing"

	"jfs/internal/posix"
	"jfs/meta"
)

// quotaKilled ends the client that sets a quota before each of its changes. A record that it leaves is right, and the
// next try comes to its end.
func quotaKilled(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.wrote(c.file(c.dir(d, "sub"), "f"), 0, 10000)
	c.remake(func(f *meta.Format) { f.DirStats = false }) // so that it has to turn them on
	for _, key := range []meta.QuotaKey{ofDir(d), ofDir(meta.RootIno), ofUser(0), ofGroup(7)} {
		for n := int64(1); ; n++ {
			e := &failing{Engine: c.eng}
			o := openVolume(t, e, meta.Options{})
			o.inForeground()
			e.left.Store(n)
			q, err := o.SetQuota(o.ctx, key, meta.Limits{Space: 1 << 30, Inodes: 100})
			e.left.Store(0)
			other := openVolume(t, c.eng, meta.Options{})
			other.wantQuotasRight("of " + key.String())
			if err != nil {
				other.want("set quota of "+key.String(), err, errBroken)
				continue
			}
			equal(t, "limits of "+key.String(), [2]int64{q.MaxSpace, q.MaxInodes}, [2]int64{1 << 30, 100})
			if n == 1 {
				t.Errorf("quota of %s was never cut short", key)
			}
			break
		}
	}
	other := openVolume(t, c.eng, meta.Options{})
	other.wantUsed("in the end", map[meta.QuotaKey][2]int64{
		ofDir(d): {4 * 4096, 2}, ofDir(meta.RootIno): {5 * 4096, 3}, ofUser(0): {5 * 4096, 3}, ofGroup(7): {0, 0},
	})
}

// quotaUncounted: of a record without a use nobody knows whether its use was ever counted.
func quotaUncounted(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.file(d, "f")
	_, err := c.Summary(c.ctx, d, false) // which stores the statistics of directories
	c.noErr("summary", err)
	c.noErr("store limits", c.eng.Update(c.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetQuota(ofDir(d), meta.Quota{MaxSpace: 1 << 30, MaxInodes: -1})
		return nil
	}))
	o := openVolume(t, c.eng, meta.Options{})
	o.limit(ofDir(d), -1, 1)
	o.wantDirUsed("set again", d, 1, 1)
	_, _, err = o.Mknod(o.ctx, meta.Root, d, "g", meta.New{Type: meta.TypeFile})
	o.want("one inode too many", err, posix.EDQUOT)
}

// quotaLeftOver: usage of users and groups is nothing to be checked while the volume does not count it, and a quota of a
// directory that is gone does not keep the others from being checked.
func quotaLeftOver(t *testing.T, c *client) {
	d := c.dir(meta.RootIno, "d")
	c.file(d, "f")
	const gone = 4242
	c.noErr("spoil", c.eng.Update(c.ctx, meta.Want{}, func(tx meta.Tx) error {
		tx.SetQuota(ofUser(0), meta.Quota{MaxSpace: -1, MaxInodes: -1, UsedInodes: 9})
		tx.SetQuota(ofDir(gone), meta.Quota{MaxInodes: 9, UsedInodes: 9})
		tx.SetQuota(ofDir(d), meta.Quota{MaxInodes: 9})
		return nil
	}))
	wrong := meta.QuotaCheck{Key: ofDir(d), Stored: meta.Quota{MaxInodes: 9}, Space: 4096, Inodes: 1}
	left := meta.QuotaCheck{Key: ofDir(gone), Stored: meta.Quota{MaxInodes: 9, UsedInodes: 9}}
	got, err := c.CheckQuotas(c.ctx, nil, false, true)
	c.noErr("check", err)
	equal(t, "check", got, []meta.QuotaCheck{wrong, left})
	wrong.Repaired, left.Repaired = true, true
	got, err = c.CheckQuotas(c.ctx, nil, true, true)
	c.noErr("repair", err)
	equal(t, "repair", got, []meta.QuotaCheck{wrong, left})
	all, err := c.Quotas(c.ctx)
	c.noErr("quotas", err)
	if _, there := all[ofDir(gone)]; there {
		t.Error("a directory that is gone has a quota")
	}
	_, err = c.CheckQuotas(c.ctx, []meta.QuotaKey{ofUser(0)}, false, true)
	c.want("check of what is not counted", err, meta.ErrNoQuota)
}
