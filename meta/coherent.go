package meta

import (
	"context"
	"fmt"
)

// Coherent is an optional part of an Engine: one that the database tells of changes, so that what it remembers is
// true. Round trips are saved on reading, and others can rely on what was read until they are told of a change.
type Coherent interface {
	// OnChange sets who is told of changes, in the place of whoever was before; nil: nobody. It is called one
	// change at a time and in their order, before anything newer is answered from memory, and must not wait.
	OnChange(func(Notice))
	// Coherent says whether the database tells of changes now. Everything that a View or Update has read is
	// watched from then on, if this was so before and after and a Notice of All was not told in between.
	Coherent() bool
	// Settle waits for the answers that are under way to this client. What is read afterwards, also from memory, is
	// not older than what any client had changed, and been told so, before the call. Without it the news of a
	// change may still be on its way behind such an answer.
	Settle(ctx context.Context) error
}

// Notice says what may be different from what was read before.
type Notice struct {
	All  bool   // anything: what happens is not told, or was not told for a time and is told again from now on
	Ino  Ino    // the attribute of this inode
	Dir  Ino    // an entry of this directory
	Name string // with Dir: which one; "" for any of them
	// By is the request of this client, see RequestKey, that has made the change and waits for it: whoever asked for it
	// knows. nil: there is none. Publishing: nobody asked, see there.
	By any
}

// RequestKey is the key of the value by which a context says that it is of a request of somebody who keeps what it
// is told, as the kernel does, and so knows of the changes that it asks for. Any value but nil will do.
type RequestKey struct{}

// Publishing is the value of RequestKey for a commit of what the kernel has written. The kernel has given up the
// attribute by itself when it wrote, so it has to be told only if it has asked for it again.
type Publishing struct{}

// WithPublishing marks a context as that of such commits.
func WithPublishing(ctx context.Context) context.Context {
	return context.WithValue(ctx, RequestKey{}, Publishing{})
}

// WithRequest marks a context as that of such a request.
func WithRequest(ctx context.Context) context.Context {
	return context.WithValue(ctx, RequestKey{}, true)
}

// ByRequest gives the value of a context that is that of such a request, which still waits; otherwise nil.
func ByRequest(ctx context.Context) any {
	if ctx.Err() != nil {
		return nil
	}
	return ctx.Value(RequestKey{})
}

// Coherent gives the part of the database that tells of changes, nil if it has none.
func (v *Volume) Coherent() Coherent {
	c, _ := v.engine.(Coherent)
	return c
}

// Resolve gives the inode that each of the names in a directory stands for, 0 for those that are not there. It does
// not check permissions.
func (v *Volume) Resolve(ctx context.Context, dir Ino, names []string) ([]Ino, error) {
	want := Want{Entries: make([]Name, len(names))}
	for i, name := range names {
		want.Entries[i] = Name{dir, name}
	}
	inodes := make([]Ino, len(names))
	what := func() string { return fmt.Sprintf("look up %d names in directory %d", len(names), dir) }
	err := v.view(ctx, what, want, func(r Reader) error {
		for i, name := range names {
			e, ok, err := r.Entry(dir, name)
			if err != nil {
				return err
			}
			if inodes[i] = e.Ino; !ok {
				inodes[i] = 0
			}
		}
		return nil
	})
	return inodes, err
}
