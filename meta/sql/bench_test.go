package sql

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"jfs/meta"
)

func ready(b testing.TB, params string) *Engine {
	b.Helper()
	e := openAt(b, tempURL(b)+params)
	if err := e.Init(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := e.Update(b.Context(), meta.Want{}, func(tx meta.Tx) error {
		tx.SetAttr(meta.RootIno, &meta.Attr{Type: meta.TypeDirectory, Mode: 0777, Nlink: 2, Length: 4096, Parent: 1})
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return e
}

// createFile makes the records of a new file in the root.
func createFile(b testing.TB, e *Engine, ino meta.Ino) {
	name := meta.Name{Dir: meta.RootIno, Name: "file-" + ino.String()}
	now := meta.TimeOf(time.Now())
	err := e.Update(b.Context(), meta.Want{Perms: []meta.Ino{name.Dir}, Entries: []meta.Name{name}}, func(tx meta.Tx) error {
		if _, ok, err := tx.Perm(name.Dir); err != nil || !ok {
			return fmt.Errorf("parent: %v %w", ok, err)
		}
		if _, ok, err := tx.Entry(name.Dir, name.Name); err != nil || ok {
			return fmt.Errorf("entry: %v %w", ok, err)
		}
		tx.SetEntry(name.Dir, name.Name, meta.Entry{Type: meta.TypeFile, Ino: ino})
		tx.SetAttr(ino, &meta.Attr{Type: meta.TypeFile, Mode: 0644, Atime: now, Mtime: now, Ctime: now, Nlink: 1, Parent: name.Dir})
		tx.Touch(name.Dir, now, 0, 100*time.Millisecond)
		tx.AddUsage(4096, 1)
		return nil
	})
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, sync := range []string{"FULL", "NORMAL"} {
		for _, parallel := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", sync, parallel), func(b *testing.B) {
				e := ready(b, "?_synchronous="+sync)
				var ino atomic.Uint64
				ino.Store(1)
				before := e.Stats()
				b.ReportAllocs()
				b.ResetTimer()
				if parallel == 1 {
					for range b.N {
						createFile(b, e, meta.Ino(ino.Add(1)))
					}
				} else {
					b.SetParallelism(parallel / 2)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							createFile(b, e, meta.Ino(ino.Add(1)))
						}
					})
				}
				s := e.Stats()
				b.ReportMetric(float64(s.Updates-before.Updates)/float64(s.Commits-before.Commits), "updates/commit")
			})
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	const files = 20000
	e := ready(b, "")
	ctx := b.Context()
	now := meta.TimeOf(time.Now())
	if err := e.Update(ctx, meta.Want{}, func(tx meta.Tx) error {
		for ino := meta.Ino(2); ino < files+2; ino++ {
			tx.SetEntry(meta.RootIno, "file-"+ino.String(), meta.Entry{Type: meta.TypeFile, Ino: ino})
			tx.SetAttr(ino, &meta.Attr{Type: meta.TypeFile, Atime: now, Mtime: now, Ctime: now, Nlink: 1, Parent: 1})
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	lookup := func(ino meta.Ino) {
		name := meta.Name{Dir: meta.RootIno, Name: "file-" + ino.String()}
		if err := e.View(ctx, meta.Want{Nodes: []meta.Name{name}}, func(r meta.Reader) error {
			en, ok, err := r.Entry(name.Dir, name.Name)
			if err != nil || !ok {
				return fmt.Errorf("entry: %v %w", ok, err)
			}
			_, _, err = r.Attr(en.Ino)
			return err
		}); err != nil {
			b.Error(err)
		}
	}
	for _, parallel := range []int{1, 8} {
		b.Run(fmt.Sprint(parallel), func(b *testing.B) {
			var at atomic.Uint64
			b.SetParallelism((parallel + 1) / 2)
			b.ReportAllocs()
			b.ResetTimer()
			if parallel == 1 {
				for range b.N {
					lookup(meta.Ino(2 + at.Add(7919)%files))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					lookup(meta.Ino(2 + at.Add(7919)%files))
				}
			})
		})
	}
	b.Run("list", func(b *testing.B) {
		for range b.N {
			if err := e.View(ctx, meta.Want{}, func(r meta.Reader) error {
				_, _, err := r.Entries(meta.RootIno, "", 1000, true)
				return err
			}); err != nil {
				b.Error(err)
			}
		}
	})
}
