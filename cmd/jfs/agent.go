package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"
)

// The agent serves profiles at the first free one of these ports, to this machine only.
const (
	agentFirstPort = 6060
	agentPorts     = 40
)

// agent serves profiles of this process.
type agent struct {
	address string // "": not served
	server  http.Server
	done    sync.WaitGroup
}

// startAgent starts the agent. No free port is not worth a failure: the mount works without.
func startAgent(log *slog.Logger) *agent {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	addRecorders(mux)
	a := &agent{server: http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}
	for port := agentFirstPort; port < agentFirstPort+agentPorts; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		a.address = l.Addr().String()
		log.Debug("profiles are served at http://" + l.Addr().String() + "/debug/pprof/")
		a.done.Go(func() {
			if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				log.Warn("serve profiles", "err", err)
			}
		})
		return a
	}
	log.Debug("no free port for profiles", "first", agentFirstPort, "ports", agentPorts)
	return a
}

// close ends the agent at once; a profile that is being taken is cut off.
func (a *agent) close(context.Context) error {
	err := a.server.Close()
	a.done.Wait()
	return err
}
