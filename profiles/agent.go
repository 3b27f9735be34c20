// Package profiles takes profiles of a mount while it works, keeps them, and shows what they say: which room of the code
// and which functions take the time, flame graphs, and what differs between two of them.
package profiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Paths at which a mount records for as long as the body of a POST goes on. It answers with what it has recorded.
const (
	RecordCPU   = "/debug/jfs/cpu"   // a CPU profile
	RecordTrace = "/debug/jfs/trace" // an execution trace
	RecordWaits = "/debug/jfs/waits" // nothing; the profiles of mutexes and blocking grow meanwhile
)

// ErrAgent means that a mount gives no profiles.
var ErrAgent = errors.New("the mount gives no profiles")

// Agent is where a mount gives its profiles.
type Agent struct {
	base   string
	client *http.Client
}

// Dial finds the agent at an address of this machine, such as 127.0.0.1:6060.
func Dial(ctx context.Context, address string) (*Agent, error) {
	a := &Agent{"http://" + address, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	b, err := a.get(ctx, "/debug/pprof/")
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(b, []byte("goroutine")) {
		return nil, fmt.Errorf("%w at %s: something else answers there", ErrAgent, address)
	}
	return a, nil
}

// get reads what lies at a path.
func (a *Agent) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAgent, err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("profile at %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w at %s: %s", ErrAgent, path, strings.TrimSpace(string(b)))
	}
	return b, nil
}

// Text reads a profile of the runtime as the text of the given level of detail.
func (a *Agent) Text(ctx context.Context, name string, detail int) ([]byte, error) {
	return a.get(ctx, fmt.Sprintf("/debug/pprof/%s?debug=%d", name, detail))
}

// Raw reads a profile of the runtime as it is kept in files. One of "profile" or "trace" takes so long.
func (a *Agent) Raw(ctx context.Context, name string, took time.Duration) ([]byte, error) {
	path := "/debug/pprof/" + name
	if took > 0 {
		path += fmt.Sprintf("?seconds=%d", max(int(took.Round(time.Second).Seconds()), 1))
	}
	return a.get(ctx, path)
}

// snapshot reads a profile of the runtime.
func (a *Agent) snapshot(ctx context.Context, name string) (*profile.Profile, error) {
	b, err := a.get(ctx, "/debug/pprof/"+name)
	if err != nil {
		return nil, err
	}
	p, err := profile.ParseData(b)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return p, nil
}

// stream is something that is being recorded.
type stream struct {
	body *io.PipeWriter
	done chan error
}

// record begins to record into a writer. After most bytes, 0 for any number, the recording ends by itself.
func (a *Agent) record(ctx context.Context, path string, to io.Writer, most int64) (*stream, error) {
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, in)
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAgent, err)
	}
	if answer.StatusCode != http.StatusOK {
		_ = out.Close() // nothing waits for it
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%w at %s: %s", ErrAgent, path, strings.TrimSpace(string(text)))
	}
	s := &stream{out, make(chan error, 1)}
	go func() { // ends with the answer, which end or ctx ends
		var err error
		if most > 0 {
			if _, err = io.CopyN(to, answer.Body, most); err == nil {
				_ = out.Close()
			} else if errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if err == nil {
			_, err = io.Copy(to, answer.Body) // a recording that is not read to its end would hold up the mount
		}
		_ = answer.Body.Close()
		s.done <- err
	}()
	return s, nil
}

// end ends the recording, and returns when all of it has come.
func (s *stream) end() error {
	_ = s.body.Close() // of a pipe: cannot fail
	return <-s.done
}
