package redis

import (
	"bufio"
	"context"
	"net"
	"time"
)

// talk is a connection on which one caller asks a few questions: Sentinels and nodes of a cluster about who holds the
// volume, and a server whether it does.
type talk struct {
	conn net.Conn
	in   *bufio.Reader
}

func newTalk(c net.Conn) *talk { return &talk{conn: c, in: bufio.NewReader(c)} }

// ask sends commands as one trip. Answers may be errors of the server.
func (t *talk) ask(ctx context.Context, cmds ...[]string) ([]reply, error) {
	var out []byte
	for _, words := range cmds {
		out = appendCommand(out, words)
	}
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetDeadline(time.Unix(1, 0)) })
	answers, err := t.exchange(out, len(cmds))
	if !stop() {
		return nil, context.Cause(ctx) // and the deadline stays or comes
	}
	return answers, err
}

func (t *talk) exchange(out []byte, n int) ([]reply, error) {
	if _, err := t.conn.Write(out); err != nil {
		return nil, err
	}
	answers := make([]reply, n)
	for i := range answers {
		var err error
		if answers[i], err = readReply(t.in); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// authCommands introduce a client, also to a server before version 6, which knows passwords only.
func authCommands(user, password string) [][]string {
	switch {
	case user != "":
		return [][]string{{"AUTH", user, password}}
	case password != "":
		return [][]string{{"AUTH", password}}
	}
	return nil
}
