package redis

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"

	"github.com/redis/rueidis"
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

func (s *script) bySum(b rueidis.Builder, keys, args []string) rueidis.Completed {
	return b.Evalsha().Sha1(s.sum).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

func (s *script) byText(b rueidis.Builder, keys, args []string) rueidis.Completed {
	return b.Eval().Script(s.text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}
