package redis

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// minVersion is the first major version whose scripts and hashes can do what the engine needs.
const minVersion = 4

// inspect finds out whether the server can hold a volume, makes it keep what it holds, and brings it the
// scripts.
func (e *Engine) inspect(ctx context.Context, log *slog.Logger) error {
	c := e.client
	start := time.Now()
	if _, err := c.query1(ctx, func(b rueidis.Builder) rueidis.Completed { return b.Ping().Build() }); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	log.Info("Ping redis latency: " + time.Since(start).String())

	out := c.trip(ctx,
		c.B().Info().Build(),
		c.B().ConfigGet().Parameter("maxmemory-policy").Build(),
		c.B().ConfigGet().Parameter("save").Build(),
		c.B().ScriptLoad().Script(e.loader.text).Build(),
		c.B().ScriptLoad().Script(e.committer.text).Build(),
	)
	for _, r := range out {
		if err := r.NonRedisError(); err != nil {
			return fmt.Errorf("inspect server: %w", err)
		}
	}
	// From here on an error is a refusal, which an ACL or a hosted service may give. The scripts are then
	// sent with their first use.
	text, err := out[0].ToString()
	if err != nil {
		log.Warn("redis does not tell its version and settings; it must be version 4 or newer, with maxmemory-policy noeviction", "error", err)
		return nil
	}
	info := parseInfo(text)
	if err := checkServer(info); err != nil {
		return err
	}
	policy := configValue(out[1], "maxmemory-policy")
	if policy == "" {
		policy = info["maxmemory_policy"]
	}
	if policy != "" && policy != "noeviction" {
		e.keepKeys(ctx, policy, log)
	}
	if save, err := out[2].AsStrMap(); err == nil && save["save"] == "" && info["aof_enabled"] == "0" {
		log.Info("redis keeps nothing on disk (appendonly no, save \"\"): the volume is lost when the server stops")
	}
	return nil
}

func checkServer(info map[string]string) error {
	version := info["redis_version"]
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < minVersion {
		return fmt.Errorf("redis %s is too old: version %d or newer is needed", version, minVersion)
	}
	return nil
}

// keepKeys makes the server refuse writes instead of removing keys when its memory is full.
func (e *Engine) keepKeys(ctx context.Context, policy string, log *slog.Logger) {
	c := e.client
	r := c.trip(ctx, c.B().ConfigSet().ParameterValue().ParameterValue("maxmemory-policy", "noeviction").Build())[0]
	if err := r.Error(); err != nil {
		log.Warn("redis may remove metadata when its memory is full: set maxmemory-policy to noeviction in its configuration",
			"maxmemory-policy", policy, "error", err)
		return
	}
	log.Info("set maxmemory-policy of redis to noeviction", "was", policy)
}

func configValue(r rueidis.RedisResult, name string) string {
	m, err := r.AsStrMap()
	if err != nil {
		return ""
	}
	return m[name]
}

// parseInfo reads the answer of INFO.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok {
			info[name] = value
		}
	}
	return info
}
