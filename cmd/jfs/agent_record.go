package main

import (
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"sync"

	"jfs/profiles"
)

// What is recorded of contention: every waitRate-th wait for a lock on average, and waits of blockRate nanoseconds or
// more. Both cost next to nothing at this rate.
const (
	waitRate  = 10
	blockRate = 10_000
)

// addRecorders adds what records for as long as the body of a request goes on, which the handlers of net/http/pprof
// cannot: they have to be told how long beforehand. Who records and dies leaves nothing running behind.
func addRecorders(mux *http.ServeMux) {
	record := func(path string, start func(io.Writer) error, stop func()) {
		var busy sync.Mutex // the runtime records once at a time
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if !busy.TryLock() {
				http.Error(w, "somebody else is recording", http.StatusConflict)
				return
			}
			defer busy.Unlock()
			c := http.NewResponseController(w)
			if err := c.EnableFullDuplex(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			if err := start(w); err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			defer stop()
			if c.Flush() == nil {
				_, _ = io.Copy(io.Discard, r.Body) // however it ends, it is the end
			}
		})
	}
	record(profiles.RecordCPU, pprof.StartCPUProfile, pprof.StopCPUProfile)
	record(profiles.RecordTrace, trace.Start, trace.Stop)
	was := 0
	record(profiles.RecordWaits, func(io.Writer) error {
		was = runtime.SetMutexProfileFraction(waitRate)
		runtime.SetBlockProfileRate(blockRate)
		return nil
	}, func() {
		runtime.SetMutexProfileFraction(was)
		runtime.SetBlockProfileRate(0)
	})
}
