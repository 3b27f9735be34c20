package cache

import "jfs/block"

// Scanned is closed when the first scan is over.
func (d *Disk) Scanned() <-chan struct{} { return d.scanned }

// Scan runs a scan now, Sweep the look for expired blocks, Relieve the one for free space.
func (d *Disk) Scan()         { d.scan() }
func (d *Disk) Sweep()        { d.sweep() }
func (d *Disk) Relieve() bool { return d.relieve() }

// Path is the file of a block.
func (d *Disk) Path(k block.Key) string { return d.layout.path(fileKey{Key: k}) }

// PartPath is the file of the parts of a block.
func (d *Disk) PartPath(k block.Key) string { return d.layout.path(fileKey{k, true}) }

// OpenFiles is the number of files kept open.
func (d *Disk) OpenFiles() int {
	d.handles.mu.Lock()
	defer d.handles.mu.Unlock()
	return d.handles.order.Len()
}

// Dirs are the directories' tiers.
func (d *Disks) Dirs() []*Disk { return d.dirs }

// First is the directory that a block belongs to.
func (d *Disks) First(k block.Key) *Disk {
	r := d.rank(k)
	return r.next()
}
