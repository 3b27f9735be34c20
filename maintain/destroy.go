package maintain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"jfs/meta"
	"jfs/object"
)

// ErrInUse: a volume that clients have mounted is not destroyed.
var ErrInUse = errors.New("the volume is in use: unmount it everywhere first, or use force")

// DestroyOptions say how a volume is destroyed. The zero value works.
type DestroyOptions struct {
	Force    bool // although sessions are alive, and although objects cannot be deleted
	Threads  int  // deletions at a time; 0 means DefaultThreads
	Progress Progress
	Log      *slog.Logger     // is told each object that cannot be deleted; nil: nobody is
	Now      func() time.Time // nil: time.Now
}

// Destroy deletes all objects of a volume and then its metadata. store shows the objects below the volume's prefix and
// nothing else. While an object is left the metadata stay, so that Destroy can be repeated. v must be closed afterwards.
func Destroy(ctx context.Context, v *meta.Volume, store object.Store, o DestroyOptions) (removed Count, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	sessions, err := v.Sessions(ctx)
	if err != nil {
		return removed, err
	}
	alive := 0
	for _, s := range sessions {
		if s.Expire >= o.Now().Unix() {
			alive++
		}
	}
	if alive > 0 && !o.Force {
		return removed, fmt.Errorf("%d sessions are alive: %w", alive, ErrInUse)
	}
	removed, failed, err := deleteAll(ctx, store, o)
	switch {
	case err != nil:
		return removed, fmt.Errorf("delete objects: %w", err)
	case failed > 0 && !o.Force:
		return removed, fmt.Errorf("%d objects cannot be deleted, so the metadata are kept: repair the store and try again", failed)
	}
	return removed, v.Engine().Erase(ctx)
}

func deleteAll(ctx context.Context, store object.Store, o DestroyOptions) (removed Count, failed int64, err error) {
	log := logger(o.Log)
	err = listObjects(ctx, store, "", func(infos []object.Info) error {
		names := make([]string, len(infos))
		for i, info := range infos {
			names[i] = info.Key
		}
		bad, err := deleteObjects(ctx, store, names, o.Threads, log, func(i int) {
			removed.add(infos[i].Size)
			o.Progress.add(StepRemoved, 1)
		})
		failed += bad
		return err
	})
	return removed, failed, err
}
