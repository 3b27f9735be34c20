package meta

import "time"

// Observer is told what a client asks of the metadata. Its methods are called by many goroutines at a time.
type Observer interface {
	// Operation is told of an operation that has ended, by the name that the official client counts it under.
	Operation(name string, took time.Duration)
	// Transaction is told of a change that was committed or given up, with all its tries: how long they took, and how
	// often the change was computed anew, because another client had changed what it was computed from, or because the
	// connection was lost.
	Transaction(took time.Duration, restarts int)
}

// began gives the time for timed, if anybody wants to know.
func (v *Volume) began() time.Time {
	if v.opt.Observer == nil {
		return time.Time{}
	}
	return time.Now()
}

// timed is deferred at the beginning of an operation.
func (v *Volume) timed(name string, start time.Time) {
	if v.opt.Observer != nil {
		v.opt.Observer.Operation(name, time.Since(start))
	}
}
