package meta

import (
	"context"
	"fmt"
	"slices"

	"jfs/internal/posix"
)

// OpenFor says what an open asks for.
type OpenFor struct {
	Read, Write bool
	Append      bool
	Truncate    bool
	Exec        bool
}

// Open counts an open handle of a file and gives its attribute. Close must follow. An open file that this client
// unlinks lives on until its last handle is closed.
func (v *Volume) Open(ctx context.Context, who Cred, ino Ino, want OpenFor) (Attr, error) {
	return v.open(ctx, who, ino, want, func() (Attr, error) { return v.GetAttr(ctx, ino) })
}

// OpenKnown is Open of a file whose attribute, as it was a moment ago, is good enough.
func (v *Volume) OpenKnown(ctx context.Context, who Cred, ino Ino, a *Attr, want OpenFor) error {
	_, err := v.open(ctx, who, ino, want, func() (Attr, error) { return *a, nil })
	return err
}

func (v *Volume) open(ctx context.Context, who Cred, ino Ino, want OpenFor, attr func() (Attr, error)) (Attr, error) {
	defer v.timed("Open", v.began())
	if v.opt.ReadOnly && (want.Write || want.Append || want.Truncate) {
		return Attr{}, posix.EROFS
	}
	var a Attr
	err := v.retainWhenSettled(ctx, ino)
	if err == nil {
		a, err = attr()
	}
	if err == nil {
		err = v.mayOpen(ctx, who, &a, want)
	}
	if err != nil {
		// The handle that was counted may have kept an unlinked file from going.
		if err := v.CloseFile(context.WithoutCancel(ctx), ino); err != nil {
			v.log.Warn("remove unlinked file after an open that failed", "inode", ino, "err", err)
		}
		return Attr{}, err
	}
	return a, nil
}

func (v *Volume) mayOpen(ctx context.Context, who Cred, a *Attr, want OpenFor) error {
	var mask uint16
	if want.Read {
		mask |= MayRead
	}
	if want.Write || want.Truncate {
		mask |= MayWrite
	}
	if want.Exec {
		mask |= MayExec
	}
	if err := v.permitted(ctx, who, a, mask); err != nil {
		return err
	}
	if want.Write || want.Truncate {
		switch {
		case a.Flags&FlagImmutable != 0, a.Parent > TrashIno && a.Type == TypeFile:
			return posix.EPERM
		case a.Flags&FlagAppend != 0 && (!want.Append || want.Truncate):
			return posix.EPERM
		}
	}
	return nil
}

// Retain counts a handle of a file that was just created and needs no look at the database.
func (v *Volume) Retain(ino Ino) { v.retain(ino) }

func (v *Volume) retain(ino Ino) {
	v.openMu.Lock()
	v.opened[ino]++
	v.openMu.Unlock()
}

// retainWhenSettled counts a handle, and waits for a removal of the inode that took it for not open.
func (v *Volume) retainWhenSettled(ctx context.Context, ino Ino) error {
	v.openMu.Lock()
	v.opened[ino]++
	var settled chan struct{}
	if r := v.removing[ino]; r != nil {
		settled = r.done
	}
	v.openMu.Unlock()
	if settled == nil {
		return nil
	}
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// removals are the inodes that one operation is about to remove because nobody has them open. An open that comes
// between that decision and the commit waits for the outcome.
type removals struct {
	v    *Volume
	inos []Ino
}

// inRemoval counts the operations that are removing an inode.
type inRemoval struct {
	count int
	done  chan struct{} // closed when the count is 0
}

// claim says whether the inode may go: this client does not have it open. It may be called again for the same
// operation, with the same answer.
func (r *removals) claim(ino Ino) bool {
	if slices.Contains(r.inos, ino) {
		return true
	}
	v := r.v
	v.openMu.Lock()
	defer v.openMu.Unlock()
	if v.opened[ino] > 0 {
		return false
	}
	in := v.removing[ino]
	if in == nil {
		in = &inRemoval{done: make(chan struct{})}
		v.removing[ino] = in
	}
	in.count++
	r.inos = append(r.inos, ino)
	return true
}

// end lets those go on who wait to open.
func (r *removals) end() {
	if len(r.inos) == 0 {
		return
	}
	v := r.v
	v.openMu.Lock()
	defer v.openMu.Unlock()
	for _, ino := range r.inos {
		in := v.removing[ino]
		if in.count--; in.count == 0 {
			close(in.done)
			delete(v.removing, ino)
		}
	}
	r.inos = nil
}

func (v *Volume) isOpen(ino Ino) bool {
	v.openMu.Lock()
	defer v.openMu.Unlock()
	return v.opened[ino] > 0
}

// release drops a handle and says whether it was the last.
func (v *Volume) release(ino Ino) bool {
	v.openMu.Lock()
	defer v.openMu.Unlock()
	if v.opened[ino]--; v.opened[ino] > 0 {
		return false
	}
	delete(v.opened, ino)
	return true
}

// CloseFile drops a handle; with the last one of an unlinked file the inode goes.
func (v *Volume) CloseFile(ctx context.Context, ino Ino) error {
	if !v.release(ino) || !v.sess.sustains(ino) {
		return nil
	}
	return v.dropClosed(ctx, ino)
}

// dropClosed removes an unlinked inode that this client kept and has closed, unless it was opened again meanwhile, by
// a request that still knew its name: then the last close comes once more. Opens that come later wait, and find nothing.
func (v *Volume) dropClosed(ctx context.Context, ino Ino) error {
	rm := removals{v: v}
	defer rm.end()
	if !rm.claim(ino) {
		return nil
	}
	return v.dropSustained(ctx, v.Sid(), ino)
}

// dropSustained removes an unlinked inode that a session kept, and frees its data.
func (v *Volume) dropSustained(ctx context.Context, sid uint64, ino Ino) error {
	var a Attr
	var gone bool
	var now Time
	what := func() string { return fmt.Sprintf("remove unlinked inode %d", ino) }
	err := v.update(ctx, what, Want{Attrs: []Ino{ino}}, func(tx Tx) error {
		var err error
		now = v.time()
		if a, gone, err = tx.Attr(ino); err != nil {
			return err
		}
		gone = gone && a.Nlink == 0
		if gone {
			v.dropInode(tx, ino, &a, now)
		}
		tx.DropSustained(sid, ino)
		return nil
	})
	if err != nil {
		return err
	}
	v.sess.forget(ino)
	if gone {
		v.usage.add(-a.Space(), -1)
		v.chargeOwner(&a, charge(&a).negate())
		v.freer.file(DelFile{Ino: ino, Length: a.Length, Removed: now.Sec})
	}
	return nil
}
