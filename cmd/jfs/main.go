// Command jfs is a caching client for volumes of the JuiceFS Community Edition format.
//
// Each file named like a command holds that command; wire.go alone builds the parts of a client.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := newApp(os.Stdout, os.Stderr, os.Getenv)
	code := a.run(ctx, os.Args)
	stop()
	os.Exit(code)
}
