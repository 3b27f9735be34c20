package redis

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"strconv"
)

//go:embed load.lua
var loadText string

//go:embed commit.lua
var commitText string

// script is a program that runs on the server. The server knows a script that it has seen by its sum.
type script struct {
	text string
	sum  string
}

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text))
	return &script{text: text, sum: hex.EncodeToString(sum[:])}
}

func (s *script) bySum(keys, args []string) []string { return s.words("EVALSHA", s.sum, keys, args) }

func (s *script) byText(keys, args []string) []string { return s.words("EVAL", s.text, keys, args) }

func (s *script) words(command, which string, keys, args []string) []string {
	words := make([]string, 0, 3+len(keys)+len(args))
	words = append(words, command, which, strconv.Itoa(len(keys)))
	return append(append(words, keys...), args...)
}
