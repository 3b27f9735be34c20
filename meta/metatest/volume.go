// Package metatest holds the suites that every metadata engine passes: the records of an engine, the operations
// of a volume on it, races between clients, and one random history that must come out equal everywhere.
package metatest

import (
	"strings"
	"testing"
	"time"

	"jfs/internal/posix"
	"jfs/meta"
)

// Database makes a fresh, empty database and gives what connects another client to it. Both register their
// cleaning with t. The suites may close an engine before that, so a second Close must do nothing.
type Database func(t *testing.T) (connect func() meta.Engine)

// Run is everything that an engine must pass.
func Run(t *testing.T, database Database) {
	open := func(t *testing.T) meta.Engine { return database(t)() }
	t.Run("Engine", func(t *testing.T) { RunEngine(t, open) })
	t.Run("Volume", func(t *testing.T) { RunVolume(t, open) })
	t.Run("Maintain", func(t *testing.T) { RunMaintain(t, database) })
	t.Run("Races", func(t *testing.T) { RunRaces(t, database) })
	t.Run("Posix", func(t *testing.T) { RunPosix(t, database) })
	t.Run("Quotas", func(t *testing.T) { RunQuotas(t, database) })
	t.Run("Trees", func(t *testing.T) { RunTrees(t, open) })
}

// RunVolume checks the operations of meta.Volume on an engine.
func RunVolume(t *testing.T, open func(*testing.T) meta.Engine) {
	for name, test := range map[string]func(*testing.T, *client){
		"Create":          volumeCreate,
		"CreateErrors":    volumeCreateErrors,
		"SetGID":          volumeSetGID,
		"Lookup":          volumeLookup,
		"Unlink":          volumeUnlink,
		"UnlinkOpen":      volumeUnlinkOpen,
		"UnlinkTrash":     volumeUnlinkTrash,
		"UnlinkOpenRace":  volumeUnlinkOpenRace,
		"Rmdir":           volumeRmdir,
		"Rename":          volumeRename,
		"RenameOver":      volumeRenameOver,
		"RenameExchange":  volumeRenameExchange,
		"RenameCycle":     volumeRenameCycle,
		"Link":            volumeLink,
		"Symlink":         volumeSymlink,
		"Write":           volumeWrite,
		"WritePacked":     volumeWritePacked,
		"WriteAll":        volumeWriteAll,
		"WriteLate":       volumeWriteLate,
		"Truncate":        volumeTruncate,
		"SetAttr":         volumeSetAttr,
		"Xattr":           volumeXattr,
		"Readdir":         volumeReaddir,
		"Usage":           volumeUsage,
		"Capacity":        volumeCapacity,
		"DirStats":        volumeDirStats,
		"FreeData":        volumeFreeData,
		"Sessions":        volumeSessions,
		"ReadOnly":        volumeReadOnly,
		"FormatTwice":     volumeFormatTwice,
		"Sticky":          volumeSticky,
		"ImmutableAppend": volumeFlags,
	} {
		t.Run(name, func(t *testing.T) {
			c := format(t, open(t), nil)
			test(t, c)
		})
	}
}

func volumeSessions(t *testing.T, c *client) {
	c.session()
	all, err := c.Sessions(c.ctx)
	c.noErr("sessions", err)
	if len(all) != 1 || all[0].Sid != c.Sid() || !strings.Contains(string(all[0].Info), `"HostName":"h"`) {
		t.Fatalf("sessions %+v", all)
	}
	// a client that died long ago, with an unlinked open file
	past := func() time.Time { return time.Now().Add(-time.Hour) }
	dead, err := meta.Open(c.ctx, c.eng, meta.Options{Now: past, Heartbeat: time.Hour / 100})
	c.noErr("open", err)
	c.noErr("session", dead.StartSession(c.ctx, meta.SessionInfo{Version: meta.CompatVersion}))
	f := c.file(meta.RootIno, "f")
	s := c.wrote(f, 0, 10)
	_, err = dead.Open(c.ctx, meta.Root, f, meta.OpenFor{Read: true})
	c.noErr("open file", err)
	c.noErr("unlink", dead.Unlink(c.ctx, meta.Root, meta.RootIno, "f"))
	c.attr(f)
	c.noErr("clean", c.CleanStaleSessions(c.ctx))
	all, err = c.Sessions(c.ctx)
	c.noErr("sessions", err)
	if len(all) != 1 || all[0].Sid != c.Sid() {
		t.Errorf("sessions after cleaning: %+v", all)
	}
	_, err = c.GetAttr(c.ctx, f)
	c.want("unlinked file of a dead session", err, posix.ENOENT)
	c.wantFreed(s)
	c.noErr("close", dead.Close(c.ctx))
}

func volumeReadOnly(t *testing.T, c *client) {
	c.file(meta.RootIno, "f")
	ro := openVolume(t, c.eng, meta.Options{ReadOnly: true})
	_, _, err := ro.Mknod(ro.ctx, meta.Root, meta.RootIno, "g", meta.New{Type: meta.TypeFile})
	c.want("create", err, posix.EROFS)
	c.want("unlink", ro.Unlink(ro.ctx, meta.Root, meta.RootIno, "f"), posix.EROFS)
	_, err = ro.Open(ro.ctx, meta.Root, 2, meta.OpenFor{Write: true})
	c.want("open for writing", err, posix.EROFS)
	_, err = ro.Open(ro.ctx, meta.Root, 2, meta.OpenFor{Read: true})
	c.want("open for reading", err, nil)
	c.noErr("session", ro.StartSession(ro.ctx, meta.SessionInfo{}))
	if ro.Sid() != 0 {
		t.Error("a read-only client has a session")
	}
}

func volumeFormatTwice(t *testing.T, c *client) {
	err := meta.Create(c.ctx, c.eng, c.Format(), meta.Time{})
	if err == nil {
		t.Error("a second volume in the same database")
	}
	f, err := meta.Load(c.ctx, c.eng)
	c.noErr("load", err)
	if f.Name != "test-volume" || f.BlockSize != 4096 || !f.DirStats {
		t.Errorf("format %+v", f)
	}
}
