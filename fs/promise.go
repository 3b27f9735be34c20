package fs

// settlePromise gives back the room that what is pending does not need. f.mu is held.
func (f *file) settlePromise() {
	if len(f.pending) == 0 {
		f.fs.vol.Forget(&f.promise)
	} else {
		f.fs.vol.Keep(&f.promise, f.length())
	}
}
