package redis

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func text1(s string) reply { return reply{kind: replyString, text: s} }

func TestReadReply(t *testing.T) {
	for in, want := range map[string]reply{
		"+OK\r\n":                      text1("OK"),
		"$3\r\na\r\n\r\n":              {}, // replaced below: the length rules, not the line
		"$0\r\n\r\n":                   text1(""),
		"$-1\r\n":                      {},
		"_\r\n":                        {},
		"*-1\r\n":                      {},
		":-12\r\n":                     {kind: replyInt, n: -12},
		"#t\r\n":                       {kind: replyInt, n: 1},
		"#f\r\n":                       {kind: replyInt},
		",1.5\r\n":                     text1("1.5"),
		"(123456789012345678901\r\n":   text1("123456789012345678901"),
		"-ERR no\r\n":                  {kind: replyError, text: "ERR no"},
		"!6\r\nOOM no\r\n":             {kind: replyError, text: "OOM no"},
		"=6\r\ntxt:ab\r\n":             text1("ab"),
		"*0\r\n":                       {kind: replyList, list: []reply{}},
		"*2\r\n:1\r\n*1\r\n+a\r\n":     {kind: replyList, list: []reply{{kind: replyInt, n: 1}, {kind: replyList, list: []reply{text1("a")}}}},
		"~1\r\n+a\r\n":                 {kind: replyList, list: []reply{text1("a")}},
		"%1\r\n+a\r\n:2\r\n":           {kind: replyList, list: []reply{text1("a"), {kind: replyInt, n: 2}}},
		"|1\r\n+k\r\n+v\r\n+a\r\n":     text1("a"),
		">2\r\n+invalidate\r\n_\r\n":   {kind: replyPush, list: []reply{text1("invalidate"), {}}},
		"*1\r\n$4\r\n\x00\r\n\xff\r\n": {kind: replyList, list: []reply{text1("\x00\r\n\xff")}},
	} {
		if in == "$3\r\na\r\n\r\n" {
			want = text1("a\r\n")
		}
		got, err := readReply(bufio.NewReader(strings.NewReader(in)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"\r\n", "x\r\n", "?5\r\n", ":x\r\n", "$-2\r\n", "$600000000\r\n", "*99999999\r\n", "%-1\r\n", "+a\n",
		strings.Repeat("*1\r\n", 100), "+" + strings.Repeat("a", 1<<17),
	} {
		if got, err := readReply(bufio.NewReaderSize(strings.NewReader(in), linkBuffer)); !errors.Is(err, errProtocol) {
			t.Errorf("%.20q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "+", "$5\r\nab", "*2\r\n+a\r\n"} {
		if _, err := readReply(bufio.NewReader(strings.NewReader(in))); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestAppendCommand(t *testing.T) {
	got := string(appendCommand([]byte("x"), []string{"SET", "", "a\r\nb"}))
	if want := "x*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n"; got != want {
		t.Errorf("%q", got)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n%1\r\n:1\r\n_\r\n"))
	f.Add([]byte(">2\r\n+invalidate\r\n*1\r\n$2\r\ni1\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		for {
			if _, err := readReply(r); err != nil {
				return
			}
		}
	})
}
