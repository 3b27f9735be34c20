package meta

import "sync"

// departed remembers the last attributes of inodes that this client has removed. Whoever has one of them as an open or
// a working directory, or as an open FIFO or path, may still ask what it is, and no record says so any more. Opens of
// files that are not files do not come to a client, so all that are removed are remembered for a while.
type departed struct {
	mu    sync.Mutex // guards the rest
	attrs map[Ino]Attr
	order []Ino // of departure, as a ring once it is full
	next  int
}

// departedMost is how many inodes are remembered; they take half a MiB.
const departedMost = 4096

// add remembers an inode with its attribute as it was before.
func (d *departed) add(ino Ino, a Attr, now Time) {
	a.Nlink, a.Ctime = 0, now
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.attrs == nil {
		d.attrs = map[Ino]Attr{}
	}
	if _, known := d.attrs[ino]; !known {
		if len(d.order) < departedMost {
			d.order = append(d.order, ino)
		} else {
			delete(d.attrs, d.order[d.next])
			d.order[d.next] = ino
			d.next = (d.next + 1) % departedMost
		}
	}
	d.attrs[ino] = a
}

// Departed gives the last attribute of an inode that this client has removed a while ago, with no links. It is for
// those who still have the inode, after GetAttr has said that there is none.
func (v *Volume) Departed(ino Ino) (Attr, bool) {
	v.departed.mu.Lock()
	defer v.departed.mu.Unlock()
	a, ok := v.departed.attrs[ino]
	return a, ok
}
