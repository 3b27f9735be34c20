package testenv

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// errRedis is an answer that is an error.
var errRedis = errors.New("redis answers")

// RedisSay sends commands to a server, each of them words with spaces between, and gives the last answer: a text, or
// the texts of a list with line ends between. An answer that is an error ends the test.
func RedisSay(tb testing.TB, addr string, cmds ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	out, err := redisSay(ctx, addr, nil, cmds...)
	if err != nil {
		tb.Fatalf("%q at %s: %v", cmds, addr, err)
	}
	return out
}

// redisSay is RedisSay, over TLS if there is a setting for it.
func redisSay(ctx context.Context, addr string, secure *tls.Config, cmds ...string) (out string, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	in := bufio.NewReader(conn)
	for _, c := range cmds {
		if _, err := io.WriteString(conn, c+"\r\n"); err != nil {
			return "", err
		}
		if out, err = redisAnswer(in); err != nil {
			return "", err
		}
	}
	return out, nil
}

func redisAnswer(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("redis sends an empty line")
	}
	switch line[0] {
	case '-':
		return "", fmt.Errorf("%w: %s", errRedis, line[1:])
	case '$', '*':
	default:
		return line[1:], nil
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 {
		return "", err
	}
	if line[0] == '$' {
		b := make([]byte, n+2)
		_, err := io.ReadFull(in, b)
		return string(b[:n]), err
	}
	texts := make([]string, n)
	for i := range texts {
		if texts[i], err = redisAnswer(in); err != nil {
			return "", err
		}
	}
	return strings.Join(texts, "\n"), nil
}

// until waits until a server says what is wanted of it.
func until(tb testing.TB, what string, ok func(ctx context.Context) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-ctx.Done():
			tb.Fatalf("%s: not in %s", what, startTime)
		case <-tick.C:
		}
	}
}
