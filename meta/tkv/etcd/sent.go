package etcd

import (
	"context"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// sentFlag tells whether anything of a request has left this process. What never left was not carried out.
type sentFlag struct{ atomic.Bool }

type sentKey struct{}

// in gives a context in whose requests the flag is set.
func (s *sentFlag) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, sentKey{}, s)
}

// sentMarker sets the flags.
type sentMarker struct{}

func (sentMarker) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentMarker) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s.(type) {
	case *stats.OutHeader, *stats.OutPayload:
		if flag, ok := ctx.Value(sentKey{}).(*sentFlag); ok {
			flag.Store(true)
		}
	}
}

func (sentMarker) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (sentMarker) HandleConn(context.Context, stats.ConnStats) {}

// lastPart is the name of a method without its service.
func lastPart(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }
