package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	jfsfs "jfs/fs"
	"jfs/internal/posix"
)

// ErrNoMount: a path does not lie in a mount of a volume.
var ErrNoMount = errors.New("not in a mount of a volume")

// Client is an open control file. It is for one goroutine.
type Client struct{ file *os.File }

// Open opens the control file of the mount that a directory lies in.
func Open(dir string) (*Client, error) {
	for _, name := range []string{".jfs.control", ".control"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ino == uint64(jfsfs.ControlIno) {
				return &Client{f}, nil
			}
		}
		_ = f.Close() // some other file of that name
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s is %w", dir, ErrNoMount)
}

// Close ends what was asked for and is under way.
func (c *Client) Close() error { return c.file.Close() }

// Do asks for something that is answered with success or an error. progress, if not nil, is told of two numbers now and
// then. When ctx ends, Close has to follow, which ends the work.
func (c *Client) Do(ctx context.Context, q Request, progress func(a, b uint64)) error {
	_, err := c.call(ctx, q, progress)
	return err
}

// Info asks for what is known of an inode.
func (c *Client) Info(ctx context.Context, q InfoRequest, progress func(a, b uint64)) (r InfoResponse, err error) {
	if err = c.ask(ctx, q, &r, progress); err == nil && r.Failed {
		err = errors.New(r.Reason)
	}
	return r, err
}

// Summary asks for a tree of totals.
func (c *Client) Summary(ctx context.Context, q SummaryRequest, progress func(a, b uint64)) (Tree, error) {
	var r SummaryResponse
	err := c.ask(ctx, q, &r, progress)
	if err == nil && r.Errno != 0 {
		err = posix.Error(r.Errno)
	}
	return r.Tree, err
}

// Warm fills the cache of the mount, or does what else the action says. progress is told of files and bytes.
func (c *Client) Warm(ctx context.Context, q WarmRequest, progress func(files, bytes uint64)) (r WarmResponse, err error) {
	err = c.ask(ctx, q, &r, progress)
	return r, err
}

func (c *Client) ask(ctx context.Context, q Request, to any, progress func(a, b uint64)) error {
	data, err := c.call(ctx, q, progress)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("answer of the mount: %w", err)
	}
	return nil
}

const (
	answerPause = 100 * time.Millisecond // before a mount is asked again that had no answer yet
	answerRoom  = 128 << 10              // bytes; mounts give whole items only, and JSON in pieces
	answerMost  = 1 << 30                // bytes of JSON
)

// call sends a request and reads the answer.
func (c *Client) call(ctx context.Context, q Request, progress func(a, b uint64)) ([]byte, error) {
	if _, err := c.file.Write(frame(q)); err != nil {
		return nil, fmt.Errorf("ask the mount: %w", err)
	}
	buf := make([]byte, answerRoom)
	for {
		n, err := c.read(ctx, buf)
		if err != nil {
			return nil, err
		}
		for item := buf[:n]; len(item) > 0; {
			switch {
			case item[0] == markProgress && len(item) >= 17:
				if progress != nil {
					progress(binary.BigEndian.Uint64(item[1:]), binary.BigEndian.Uint64(item[9:]))
				}
				item = item[17:]
			case item[0] == markData && len(item) >= 5:
				return c.rest(ctx, binary.BigEndian.Uint32(item[1:]), item[5:])
			case len(item) == 1 && item[0] == 0:
				return nil, nil
			case len(item) == 1:
				return nil, posix.Error(item[0])
			default:
				return nil, fmt.Errorf("the mount gives an answer that is not understood: % x", item[:min(len(item), 20)])
			}
		}
	}
}

// read waits for something. A mount that has nothing yet gives the end of the file.
func (c *Client) read(ctx context.Context, buf []byte) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := c.file.Read(buf)
		if n > 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EINTR) {
			return 0, fmt.Errorf("read the answer of the mount: %w", err)
		}
		timer := time.NewTimer(answerPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// rest reads what is missing of the JSON.
func (c *Client) rest(ctx context.Context, size uint32, have []byte) ([]byte, error) {
	if size > answerMost || int(size) < len(have) {
		return nil, fmt.Errorf("the mount gives an answer of %d bytes that is not understood", size)
	}
	data := make([]byte, size)
	for n := copy(data, have); n < len(data); {
		m, err := c.read(ctx, data[n:])
		if err != nil {
			return nil, err
		}
		n += m
	}
	return data, nil
}
