package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"jfs/block"
	"jfs/internal/posix"
	"jfs/meta"
)

// Options are the parts of a Server. Only Volume is needed.
type Options struct {
	Volume *meta.Volume
	Root   meta.Ino // inode that the mount shows as 1; 0 means the volume's root
	// Compact compacts the chunks below an inode and tells progress of each. nil: it is not supported.
	Compact func(ctx context.Context, ino meta.Ino, threads int, progress func(n int)) error
	// Warm fills the cache with the files below inodes, or does what else the action says. nil: it is not supported.
	Warm func(ctx context.Context, tops []meta.Ino, action uint8, threads int, progress func(files, bytes uint64)) (WarmResponse, error)
	// Background runs what goes on after its answer; nil: nothing can.
	Background func(fn func(ctx context.Context))
	// Forget is told of entries that are gone, which the kernel may believe to be there; nil: nobody is.
	Forget func(dir meta.Ino, name string)
	Log    *slog.Logger // nil: no log
}

// Server carries out requests. It is an fs.Controller.
type Server struct {
	o Options
	v *meta.Volume
}

// NewServer makes a Server. The volume stays the caller's.
func NewServer(o Options) *Server {
	if o.Root == 0 {
		o.Root = meta.RootIno
	}
	if o.Forget == nil {
		o.Forget = func(meta.Ino, string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, v: o.Volume}
}

// Serve carries out a command for who and gives the answer. report is told how far it has come.
func (s *Server) Serve(ctx context.Context, who meta.Cred, command uint32, payload []byte, report func(a, b uint64)) []byte {
	q, err := parse(Command(command), payload)
	if err != nil {
		return s.errno(command, err)
	}
	switch q := q.(type) {
	case RemoveRequest:
		err = s.remove(ctx, who, q, counter(report))
	case CloneRequest:
		err = s.clone(ctx, who, q, counter(report))
	case CompactRequest:
		err = s.compact(ctx, who, q, counter(report))
	case WarmRequest:
		return s.json(command)(s.warm(ctx, who, q, report))
	case InfoRequest:
		return s.json(command)(s.info(ctx, who, q))
	case SummaryRequest:
		return s.json(command)(s.summary(ctx, who, q))
	}
	return s.errno(command, err)
}

// counter makes a report of a count.
func counter(report func(a, b uint64)) func(n int) {
	var sum atomic.Uint64
	return func(n int) { report(sum.Add(uint64(n)), 0) }
}

// errno is an answer of one byte.
func (s *Server) errno(command uint32, err error) []byte { return []byte{byte(s.number(command, err))} }

func (s *Server) number(command uint32, err error) syscall.Errno {
	var fact posix.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &fact):
		return fact.Errno()
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	}
	s.o.Log.Error("request through the control file", "command", command, "err", err)
	return syscall.EIO
}

func (s *Server) json(command uint32) func(any, error) []byte {
	return func(v any, err error) []byte {
		var b []byte
		if err == nil {
			b, err = answerJSON(v)
		}
		if err != nil {
			return s.errno(command, err)
		}
		return b
	}
}

// ino is the inode that a mount shows under a number.
func (s *Server) ino(n meta.Ino) meta.Ino {
	if n == meta.RootIno {
		return s.o.Root
	}
	return n
}

func (s *Server) remove(ctx context.Context, who meta.Cred, q RemoveRequest, told func(int)) error {
	dir := s.ino(q.Dir)
	err := s.v.RemoveTree(ctx, who, dir, q.Name, q.SkipTrash, int(q.Threads), told)
	if err == nil {
		s.o.Forget(dir, q.Name)
	}
	return err
}

func (s *Server) clone(ctx context.Context, who meta.Cred, q CloneRequest, told func(int)) error {
	src, err := s.source(ctx, q)
	if err != nil {
		return err
	}
	_, err = s.v.Clone(ctx, who, src, s.ino(q.Dir), q.Name, meta.CloneOptions{
		Preserve: q.Preserve, Umask: q.Umask, Threads: int(q.Threads), Progress: told,
	})
	return err
}

// source is what is to be cloned. Clients give the source and the directory that holds it, and not all in the same
// order; one of the two is above the other.
func (s *Server) source(ctx context.Context, q CloneRequest) (meta.Ino, error) {
	src, dir := s.ino(q.Src), s.ino(q.SrcDir)
	if q.SrcDir == 0 {
		return src, nil
	}
	a, err := s.v.GetAttr(ctx, src)
	if err != nil {
		return 0, err
	}
	if a.Type != meta.TypeDirectory || a.Parent == dir {
		return src, nil
	}
	b, err := s.v.GetAttr(ctx, dir)
	switch {
	case err != nil:
		return src, nil //nolint:nilerr // it is not needed, and whatever is wrong with it the clone finds out
	case b.Type != meta.TypeDirectory || b.Parent == src:
		return dir, nil
	}
	return src, nil
}

func (s *Server) compact(ctx context.Context, who meta.Cred, q CompactRequest, told func(int)) error {
	ino := s.ino(q.Ino)
	if s.o.Compact == nil {
		return posix.ENOTSUP
	}
	if s.v.ReadOnly() {
		return posix.EROFS
	}
	if err := s.v.Access(ctx, who, ino, meta.MayWrite); err != nil {
		return err
	}
	return s.o.Compact(ctx, ino, int(q.Threads), told)
}

func (s *Server) warm(ctx context.Context, who meta.Cred, q WarmRequest, report func(a, b uint64)) (*WarmResponse, error) {
	if s.o.Warm == nil || q.Background && s.o.Background == nil {
		return nil, posix.ENOTSUP
	}
	tops := make([]meta.Ino, len(q.Paths))
	for i, p := range q.Paths {
		var err error
		if tops[i], err = s.resolve(ctx, who, p); err != nil {
			return nil, err
		}
	}
	if q.Background {
		s.o.Background(func(ctx context.Context) {
			if _, err := s.o.Warm(ctx, tops, q.Action, int(q.Threads), func(uint64, uint64) {}); err != nil {
				s.o.Log.Error("fill the cache in the background", "err", err)
			}
		})
		return &WarmResponse{}, nil
	}
	r, err := s.o.Warm(ctx, tops, q.Action, int(q.Threads), report)
	return &r, err
}

// resolve finds what a path from the root of the mount leads to, without following symlinks, or "inode:N" means.
func (s *Server) resolve(ctx context.Context, who meta.Cred, p string) (meta.Ino, error) {
	if number, ok := strings.CutPrefix(p, "inode:"); ok {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return 0, posix.EINVAL
		}
		ino := s.ino(meta.Ino(n))
		return ino, s.v.Access(ctx, who, ino, meta.MayRead)
	}
	ino := s.o.Root
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		var err error
		if ino, _, err = s.v.Lookup(ctx, who, ino, name); err != nil {
			return 0, err
		}
	}
	return ino, s.v.Access(ctx, who, ino, meta.MayRead)
}

// info never fails: the answer has room for the reason.
func (s *Server) info(ctx context.Context, who meta.Cred, q InfoRequest) (*InfoResponse, error) {
	ino := s.ino(q.Ino)
	r := &InfoResponse{Ino: q.Ino}
	err := s.v.Access(ctx, who, ino, meta.MayRead)
	var i meta.Info
	if err == nil {
		i, err = s.v.Info(ctx, ino, meta.InfoOptions{Recursive: q.Recursive, Strict: q.Strict})
	}
	if err != nil {
		r.Failed, r.Reason = true, s.number(uint32(CommandInfo), err).Error()
		return r, nil
	}
	r.Paths, r.Summary = i.Paths, totals(i.Totals)
	if i.Attr.Type == meta.TypeFile {
		if r.FLocks, r.PLocks, err = s.locks(ctx, ino); err != nil {
			return nil, err
		}
	}
	format := s.v.Format()
	for _, c := range i.Chunks {
		for _, piece := range view(c) {
			if q.Raw {
				r.Chunks = append(r.Chunks, piece)
			} else {
				r.Objects = append(r.Objects, objects(&format, piece)...)
			}
		}
	}
	return r, nil
}

// locks gives those that are held on a file.
func (s *Server) locks(ctx context.Context, ino meta.Ino) (flocks, plocks []Lock, err error) {
	err = s.v.Engine().View(ctx, meta.Want{}, func(r meta.Reader) error {
		flocks, plocks = nil, nil
		bsd, err := r.Flocks(ino)
		if err != nil {
			return err
		}
		for o, typ := range bsd {
			flocks = append(flocks, Lock{Sid: o.Sid, Owner: o.Owner, Type: string(rune(typ))})
		}
		records, err := r.Plocks(ino)
		for o, list := range records {
			for _, l := range list {
				plocks = append(plocks, Lock{Sid: o.Sid, Owner: o.Owner, Type: l.Type, Pid: l.PID, Start: l.Start, End: l.End})
			}
		}
		return err
	})
	order := func(a, b Lock) int {
		return cmp.Or(cmp.Compare(a.Sid, b.Sid), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Start, b.Start))
	}
	slices.SortFunc(flocks, order)
	slices.SortFunc(plocks, order)
	if err != nil {
		err = fmt.Errorf("locks of inode %d: %w", ino, err)
	}
	return flocks, plocks, err
}

func (s *Server) summary(ctx context.Context, who meta.Cred, q SummaryRequest) (*SummaryResponse, error) {
	ino := s.ino(q.Ino)
	r := &SummaryResponse{}
	err := s.v.Access(ctx, who, ino, meta.MayRead)
	var t meta.TreeNode
	if err == nil {
		t, err = s.v.SummaryTree(ctx, ino, meta.TreeOptions{Depth: int(q.Depth), Entries: int(q.Entries), Strict: q.Strict})
	}
	if err != nil {
		r.Errno = s.number(uint32(CommandSummary), err)
		return r, nil
	}
	t.Ino = q.Ino
	r.Tree = *tree("", &t)
	return r, nil
}

func totals(t meta.Totals) Totals {
	return Totals{Length: size(t.Length), Size: size(t.Space), Files: size(t.Files), Dirs: size(t.Dirs)}
}

// size is a number that statistics which lag behind may have made negative.
func size(n int64) uint64 { return uint64(max(n, 0)) }

func tree(at string, n *meta.TreeNode) *Tree {
	sum := totals(n.Totals)
	t := &Tree{Inode: n.Ino, Path: path.Join(at, n.Name), Type: uint8(n.Type), Size: sum.Size, Files: sum.Files, Dirs: sum.Dirs}
	for i := range n.Children {
		t.Children = append(t.Children, tree(t.Path, &n.Children[i]))
	}
	return t
}

// view gives what a reader sees of a chunk.
func view(c meta.ChunkRecord) []Slice {
	var all []Slice
	for _, v := range meta.View(c.Slices) {
		all = append(all, Slice{ChunkIndex: uint64(c.Index), Pos: v.Pos, Id: v.ID, Size: v.Size, Off: v.Off, Len: v.Len})
	}
	return all
}

// objects gives the objects that a piece of a slice lies in.
func objects(f *meta.Format, p Slice) []Object {
	if p.Id == 0 {
		return []Object{{ChunkIndex: p.ChunkIndex, Size: p.Len, Len: p.Len, Pos: p.Pos}}
	}
	var all []Object
	each := f.BlockBytes()
	for done := uint32(0); done < p.Len; {
		at := p.Off + done
		key := block.KeyAt(p.Id, p.Size, at/each, each)
		off := at % each
		if off >= key.Size { // a record that reaches beyond its slice
			break
		}
		n := min(key.Size-off, p.Len-done)
		all = append(all, Object{
			ChunkIndex: p.ChunkIndex, Key: fmt.Sprintf("%s/%s", f.Name, key.Name(f.HashPrefix)),
			Size: key.Size, Off: off, Len: n, Pos: p.Pos + done,
		})
		done += n
	}
	return all
}
