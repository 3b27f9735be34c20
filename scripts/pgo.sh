#!/bin/sh
# Takes CPU profiles of the standard workloads on mounts of its own, on SQLite and, where redis-server is there, on Redis,
# and merges them into the file that is named: pgo.sh JFS FILE
set -eu

jfs=$1
out=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/jfs-pgo-XXXXXX")
redis=

cleanup() {
	for point in "$dir"/*/mnt; do
		if mountpoint -q "$point" 2>/dev/null; then "$jfs" umount --force "$point" || true; fi
	done
	if [ -n "$redis" ]; then
		kill "$redis" 2>/dev/null || true
		wait "$redis" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# measure NAME META-URL
measure() {
	mkdir -p "$dir/$1/mnt"
	"$jfs" format --quiet --bucket "$dir/$1/objects" --trash-days 0 "$2" pgo-volume
	"$jfs" mount --quiet -d --no-syslog --log "$dir/$1/log" --cache-dir "$dir/$1/cache" --backup-meta 0 --metrics "" "$2" "$dir/$1/mnt"
	for workload in "" metadata random untar dataset checkpoint; do
		set -- "$1" "$2" --rounds 2 -p 2 --time-limit 0
		if [ -n "$workload" ]; then set -- "$@" --workload "$workload"; else set -- "$@" --big-file-size 512M --small-file-count 1000; fi
		name=$1
		shift 2
		echo "profile $name ${workload:-official}"
		"$jfs" bench --quiet "$@" --pprof "$dir/captures/$name-${workload:-official}" "$dir/$name/mnt" >"$dir/$name/out" || { cat "$dir/$name/out"; exit 1; }
		set -- "$name" ""
	done
	"$jfs" umount "$dir/$1/mnt"
}

mkdir "$dir/captures"
measure sqlite "sqlite3://$dir/sqlite.db"
if command -v redis-server >/dev/null; then
	redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --appendonly no --dir "$dir" >/dev/null &
	redis=$!
	n=0
	until [ -S "$dir/redis.sock" ]; do
		n=$((n + 1))
		[ "$n" -lt 100 ] || { echo "redis-server does not start" >&2; exit 1; }
		sleep 0.1
	done
	measure redis "unix://$dir/redis.sock"
fi
"$jfs" bench profile --merge "$out" "$dir"/captures/*
if [ -n "${CAPTURES:-}" ]; then cp -r "$dir/captures" "$CAPTURES"; fi
