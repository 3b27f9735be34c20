package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// reply is an answer of the server.
type reply struct {
	kind replyKind
	text string  // of a string, or of an error with its code as the first word
	n    int64   // of an integer
	list []reply // of an array, a set, a push; of a map keys and values by turns
}

type replyKind uint8

const (
	replyNil replyKind = iota
	replyString
	replyInt
	replyList
	replyError
	replyPush
)

// serverError is an answer that is an error.
type serverError string

func (e serverError) Error() string { return string(e) }

var errProtocol = errors.New("the redis server answers against its protocol")

// errShape is an answer of another kind than the command gives.
var errShape = errors.New("unexpected kind of answer")

// string gives "" for nil. No record of the format is an empty string, except the value of an xattr, which is not
// read by those who use this.
func (r *reply) string() (string, error) {
	switch r.kind {
	case replyNil:
		return "", nil
	case replyString:
		return r.text, nil
	}
	return "", r.wrong()
}

// wrongString says that string gives an error.
func (r *reply) wrongString() bool { return r.kind != replyNil && r.kind != replyString }

func (r *reply) wrong() error {
	if r.kind == replyError {
		return serverError(r.text)
	}
	return errShape
}

// strings gives the elements of a list, none for nil.
func (r *reply) strings() ([]string, error) {
	if r.kind != replyList && r.kind != replyNil {
		return nil, r.wrong()
	}
	out := make([]string, len(r.list))
	for i := range r.list {
		var err error
		if out[i], err = r.list[i].string(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// failure is the first error among answers.
func failure(answers []reply) error {
	for i := range answers {
		if answers[i].kind == replyError {
			return answers[i].wrong()
		}
	}
	return nil
}

// appendCommand encodes a command.
func appendCommand(b []byte, words []string) []byte {
	b = appendHead(b, '*', len(words))
	for _, w := range words {
		b = appendHead(b, '$', len(w))
		b = append(append(b, w...), "\r\n"...)
	}
	return b
}

func appendHead(b []byte, kind byte, n int) []byte {
	b = strconv.AppendInt(append(b, kind), int64(n), 10)
	return append(b, "\r\n"...)
}

// Bounds of what is believed of a server.
const (
	maxReplyBytes = 512 << 20 // the server's own limit of a string
	maxReplyItems = 1 << 24
	maxReplyDepth = 16
)

// readReply reads one answer or push.
func readReply(r *bufio.Reader) (reply, error) { return readNested(r, maxReplyDepth) }

func readNested(r *bufio.Reader, depth int) (reply, error) {
	if depth == 0 {
		return reply{}, fmt.Errorf("%w: lists inside lists", errProtocol)
	}
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+', ',', '(':
		return reply{kind: replyString, text: string(rest)}, nil
	case '-':
		return reply{kind: replyError, text: string(rest)}, nil
	case '_':
		return reply{}, nil
	case '#':
		n := int64(0)
		if string(rest) == "t" {
			n = 1
		}
		return reply{kind: replyInt, n: n}, nil
	}
	n, err := strconv.ParseInt(string(rest), 10, 64)
	if err != nil {
		return reply{}, fmt.Errorf("%w: line %q", errProtocol, line)
	}
	switch kind {
	case ':':
		return reply{kind: replyInt, n: n}, nil
	case '$', '!', '=':
		return readText(r, kind, n)
	case '*', '~', '>':
		return readList(r, kind, n, depth)
	case '%', '|':
		if n < 0 || n > math.MaxInt32 {
			return reply{}, fmt.Errorf("%w: map of %d", errProtocol, n)
		}
		m, err := readList(r, '*', 2*n, depth)
		if kind == '|' && err == nil { // attributes of the answer that follows
			return readNested(r, depth-1)
		}
		return m, err
	}
	return reply{}, fmt.Errorf("%w: line %q", errProtocol, line)
}

// readLine gives a line without its end, which has at least one byte. It is good until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: line of more than %d bytes", errProtocol, len(line))
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("%w: line %q", errProtocol, line)
	}
	return line[:len(line)-2], nil
}

func readText(r *bufio.Reader, kind byte, n int64) (reply, error) {
	if n == -1 {
		return reply{}, nil
	}
	if n < 0 || n > maxReplyBytes {
		return reply{}, fmt.Errorf("%w: string of %d bytes", errProtocol, n)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return reply{}, err
	}
	out := reply{kind: replyString, text: string(b[:n])}
	switch {
	case kind == '!':
		out.kind = replyError
	case kind == '=' && n >= 4: // "txt:" stands before the text
		out.text = out.text[4:]
	}
	return out, nil
}

func readList(r *bufio.Reader, kind byte, n int64, depth int) (reply, error) {
	if n == -1 {
		return reply{}, nil
	}
	if n < 0 || n > maxReplyItems {
		return reply{}, fmt.Errorf("%w: list of %d", errProtocol, n)
	}
	out := reply{kind: replyList, list: make([]reply, 0, min(n, 1024))}
	if kind == '>' {
		out.kind = replyPush
	}
	for range n {
		e, err := readNested(r, depth-1)
		if err != nil {
			return reply{}, err
		}
		out.list = append(out.list, e)
	}
	return out, nil
}

// convert takes over an answer that came through the other client.
func convert(m *rueidis.RedisMessage) (reply, error) {
	switch {
	case m.IsNil():
		return reply{}, nil
	case m.IsInt64():
		n, err := m.AsInt64()
		return reply{kind: replyInt, n: n}, err
	case m.IsArray():
		ms, err := m.ToArray()
		out := reply{kind: replyList, list: make([]reply, len(ms))}
		for i := range ms {
			if err == nil {
				out.list[i], err = convert(&ms[i])
			}
		}
		return out, err
	}
	s, err := m.ToString()
	return reply{kind: replyString, text: s}, err
}

// value is the string of such an answer, "" for nil.
func value(m *rueidis.RedisMessage) (string, error) {
	r, err := convert(m)
	if err != nil {
		return "", err
	}
	return r.string()
}

// joined is the elements of a list in such an answer as one string.
func joined(m *rueidis.RedisMessage) (string, error) {
	if m.IsNil() {
		return "", nil
	}
	elements, err := m.AsStrSlice()
	return strings.Join(elements, ""), err
}
