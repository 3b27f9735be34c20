package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"jfs/fs/mount"
	"jfs/internal/mounts"
)

// TestUnmountAfter: a mount that is busy with the question of umount itself is tried again after the answer, whenever that
// comes, and one that others keep busy is not.
func TestUnmountAfter(t *testing.T) {
	other := errors.New("other")
	for _, c := range []struct {
		name     string
		answered int     // before which try the question is answered; 1: before the first; 0: never
		during   bool    // the answer comes while that try is under way
		tries    []error // what they give
		want     error
	}{
		{"not asked", 1, false, []error{nil}, nil},
		{"others are there", 1, false, []error{mount.ErrBusy}, mount.ErrBusy},
		{"answered during the try", 1, true, []error{mount.ErrBusy, nil}, nil},
		{"answered after the try", 2, false, []error{mount.ErrBusy, nil}, nil},
		{"others are there besides", 1, true, []error{mount.ErrBusy, mount.ErrBusy}, mount.ErrBusy},
		{"another error", 2, false, []error{other}, other},
		{"never answered", 0, false, []error{mount.ErrBusy}, mount.ErrBusy},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := make(chan struct{})
			if c.answered == 1 && !c.during {
				close(asked)
			}
			tries := 0
			err := unmountAfter(ctx, asked, func() error {
				tries++
				if tries > len(c.tries) {
					return errors.New("tried too often")
				}
				switch {
				case c.answered == tries && c.during:
					close(asked)
				case c.answered == tries+1:
					go close(asked)
				case c.answered == 0:
					cancel()
				}
				return c.tries[tries-1]
			})
			if !errors.Is(err, c.want) || tries != len(c.tries) {
				t.Errorf("%v after %d tries, want %v after %d", err, tries, c.want, len(c.tries))
			}
		})
	}
}

// TestUnmountUnseen: a mount that is busy while nobody is seen in it is tried again, one with holders is not.
func TestUnmountUnseen(t *testing.T) {
	tries := 0
	free := func() error {
		if tries++; tries < 3 {
			return fmt.Errorf("unmount: %w", mount.ErrBusy)
		}
		return nil
	}
	nobody := func() []mounts.Process { return nil }
	if err := unmountUnseen(t.Context(), free, nobody); err != nil || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
	tries = 0
	somebody := func() []mounts.Process { return make([]mounts.Process, 1) }
	if err := unmountUnseen(t.Context(), free, somebody); !errors.Is(err, mount.ErrBusy) || tries != 1 {
		t.Errorf("%v after %d tries of a mount with a holder", err, tries)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tries = -100
	if err := unmountUnseen(ctx, free, nobody); !errors.Is(err, mount.ErrBusy) {
		t.Errorf("%v after an interrupt", err)
	}
}
