package meta

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// TreeOptions says how much of a tree SummaryTree shows.
type TreeOptions struct {
	Depth   int  // levels below the top; 0 means none
	Entries int  // largest entries of a directory that are named; 0 means all
	Strict  bool // see Summary
	Threads int  // directories that are read at the same time; 0 means 10
}

// TreeNode is an entry of a tree with the totals of all that is below.
type TreeNode struct {
	Name string // of the top: ""
	Ino  Ino    // 0: the node stands for the rest of its directory
	Type Type
	Totals
	Children []TreeNode // by space, the largest first, then by name; the rest of the directory at the end
}

// RestOfDir is the name of the node that stands for the entries that are not named.
const RestOfDir = "..."

// SummaryTree gives the totals of a tree and of the largest entries in it.
func (v *Volume) SummaryTree(ctx context.Context, ino Ino, opt TreeOptions) (TreeNode, error) {
	a, err := v.GetAttr(ctx, ino)
	if err != nil {
		return TreeNode{}, err
	}
	s, ctx, err := v.newSummer(ctx, opt.Strict, orDefault(opt.Threads, defaultThreads))
	if err != nil {
		return TreeNode{}, err
	}
	defer s.crew.close()
	g := grower{v: v, opt: opt, summer: s}
	return g.node(ctx, Dirent{Entry: Entry{Type: a.Type, Ino: ino}, Attr: &a}, opt.Depth)
}

// grower builds a tree of totals.
type grower struct {
	v      *Volume
	opt    TreeOptions
	summer *summer // for its crew and its way to find statistics
}

func (g *grower) node(ctx context.Context, e Dirent, depth int) (TreeNode, error) {
	n := TreeNode{Name: e.Name, Ino: e.Ino, Type: e.Type, Totals: totalsOf(e.Type, e.Attr)}
	if e.Type != TypeDirectory {
		return n, nil
	}
	if depth <= 0 {
		below := summer{v: g.v, strict: g.summer.strict, crew: g.summer.crew}
		err := below.top(ctx, e.Ino)
		n.Totals = n.Totals.plus(below.sum)
		return n, err
	}
	l := largest{most: g.opt.Entries}
	t := team{crew: g.summer.crew}
	err := g.v.eachPage(ctx, e.Ino, true, func(page []Dirent) error {
		for _, child := range page {
			if child.Type != TypeDirectory {
				l.offer(TreeNode{Name: child.Name, Ino: child.Ino, Type: child.Type, Totals: totalsOf(child.Type, child.Attr)})
				continue
			}
			t.do(func() error {
				n, err := g.node(ctx, child, depth-1)
				l.offer(n)
				return err
			})
		}
		return nil
	})
	err = t.wait(err)
	n.Totals = n.Totals.plus(l.sum)
	n.Children = l.nodes()
	return n, err
}

// largest keeps the largest of the nodes that it is offered, and the sum of all.
type largest struct {
	most int // 0: all

	mu   sync.Mutex // guards the rest
	sum  Totals
	rest Totals // of those that were given up
	kept []TreeNode
}

func bySpace(a, b TreeNode) int {
	return cmp.Or(cmp.Compare(b.Space, a.Space), cmp.Compare(a.Name, b.Name))
}

func (l *largest) offer(n TreeNode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum = l.sum.plus(n.Totals)
	l.kept = append(l.kept, n)
	if l.most > 0 && len(l.kept) >= 2*l.most { // not at every offer: sorting would cost more than the memory
		l.trim()
	}
}

func (l *largest) trim() {
	slices.SortFunc(l.kept, bySpace)
	if l.most <= 0 || len(l.kept) <= l.most {
		return
	}
	for _, n := range l.kept[l.most:] {
		l.rest = l.rest.plus(n.Totals)
	}
	clear(l.kept[l.most:])
	l.kept = l.kept[:l.most]
}

// nodes gives the largest in order and, if there were more, the rest as one.
func (l *largest) nodes() []TreeNode {
	l.trim()
	if l.rest != (Totals{}) {
		return append(l.kept, TreeNode{Name: RestOfDir, Totals: l.rest})
	}
	return l.kept
}
