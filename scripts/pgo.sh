#!/bin/sh
# Takes CPU profiles of the standard workloads on mounts of its own, on SQLite and, where redis-server is there, on Redis,
# and merges them into FILE: pgo.sh JFS FILE. It takes about five minutes. CAPTURES=DIR keeps the profiles there.
set -eu

jfs=$1
out=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/jfs-pgo-XXXXXX")
captures=${CAPTURES:-$dir/captures}
redis=

cleanup() {
	for point in "$dir"/*/mnt; do
		if mountpoint -q "$point"; then "$jfs" umount --force "$point" || true; fi
	done
	if [ -n "$redis" ]; then
		kill "$redis" 2>/dev/null || true
		wait "$redis" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# capture NAME WORKLOAD [OPTIONS OF BENCH]: profiles of a workload on a mount.
capture() {
	on=$1
	what=$2
	shift 2
	echo "profile $on, $what"
	"$jfs" bench --quiet --rounds 2 --threads 2 --time-limit 0 "$@" --pprof "$captures/$on-$what" "$dir/$on/mnt" >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
}

# database NAME META-URL: all workloads on a volume that is made for it.
database() {
	mkdir -p "$dir/$1/mnt"
	"$jfs" format --quiet --bucket "$dir/$1/objects" --trash-days 0 "$2" pgo-volume
	"$jfs" mount --quiet -d --no-syslog --log "$dir/$1/log" --cache-dir "$dir/$1/cache" --backup-meta 0 --metrics "" "$2" "$dir/$1/mnt"
	capture "$1" official --big-file-size 512M --small-file-count 1000
	for workload in metadata random untar dataset checkpoint; do
		capture "$1" "$workload" --workload "$workload"
	done
	"$jfs" umount "$dir/$1/mnt"
}

mkdir -p "$captures"
database sqlite "sqlite3://$dir/sqlite.db"
if command -v redis-server >/dev/null; then
	redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --appendonly no --dir "$dir" >/dev/null &
	redis=$!
	tries=0
	until [ -S "$dir/redis.sock" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || { echo "redis-server does not start" >&2; exit 1; }
		sleep 0.1
	done
	database redis "unix://$dir/redis.sock"
fi
"$jfs" bench profile --merge "$out" "$captures"/*
