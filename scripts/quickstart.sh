#!/usr/bin/env bash
# quickstart.sh: the whole journey of a volume on this machine, in a scratch directory that is removed at the end.
# Format, mount, copy the Go source tree in, unmount, mount again with an empty cache, compare every file, measure.
#
# Environment: JFS                 the binary (bin/jfs)
#              JFS_QUICKSTART_DIR  where the scratch directory is made (TMPDIR or /tmp); needs about 2 GiB
set -euo pipefail
export LC_ALL=C

die() {
	echo "quickstart: $*" >&2
	exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jfs=${JFS:-$root/bin/jfs}
[ -x "$jfs" ] || die "$jfs is missing: run 'make build' first"
[ -e /dev/fuse ] || die "/dev/fuse is missing: load the kernel's fuse module, or give the container the device"
for tool in go fusermount3 mountpoint tar sha256sum; do
	command -v "$tool" >/dev/null || die "$tool is missing: install it first ('make setup' installs fuse3)"
done

parent=${JFS_QUICKSTART_DIR:-${TMPDIR:-/tmp}}
mkdir -p "$parent"
dir=$(mktemp -d "$parent/jfs-quickstart.XXXXXX")
meta=sqlite3://$dir/meta.db
mnt=$dir/mnt
log=$dir/jfs.log
source=$(go env GOROOT)/src
mkdir "$mnt"

detach() {
	if mountpoint -q "$mnt"; then
		"$jfs" umount "$mnt" || fusermount3 -u -z "$mnt" || true
	fi
}

# Runs at every end of the script. After a failure the scratch directory stays, for a look at it.
finish() {
	local status=$?
	trap - EXIT INT TERM
	detach
	if [ "$status" -eq 0 ]; then
		rm -rf "$dir"
		exit 0
	fi
	echo "quickstart: failed with exit code $status; what it made is in $dir" >&2
	if [ -s "$log" ]; then
		echo "quickstart: the end of $log:" >&2
		tail -n 40 "$log" >&2
	fi
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

steps=()

# step TEXT COMMAND...: runs a command and notes its time.
step() {
	local text=$1 from=$EPOCHREALTIME
	shift
	echo "--- $text"
	"$@"
	steps+=("$(awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%8.2f", b - a }')|$text")
}

format() {
	"$jfs" format --storage file --bucket "$dir/objects/" "$meta" demo
}

mount_volume() {
	"$jfs" mount -d --log "$log" --cache-dir "$dir/cache" "$meta" "$mnt"
	mountpoint -q "$mnt" || die "jfs mount came back, but $mnt is no mount point"
}

umount_volume() {
	"$jfs" umount "$mnt"
	if mountpoint -q "$mnt"; then
		die "jfs umount came back, but $mnt is still mounted"
	fi
}

list_sums() {
	(cd "$source" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$dir/sums"
}

pack() {
	tar -C "$(dirname "$source")" -cf "$dir/src.tar" src
}

unpack() {
	tar -C "$mnt" -xf "$dir/src.tar"
}

empty_cache() {
	rm -rf "$dir/cache"
}

compare() {
	(cd "$mnt/src" && sha256sum --quiet --check "$dir/sums")
}

measure() {
	"$jfs" bench --big-file-size 256M --small-file-count 100 "$mnt"
}

step "pack $source" pack
step "checksum the original" list_sums
files=$(wc -l <"$dir/sums")
bytes=$(stat -c %s "$dir/src.tar")
entries=$(tar -tf "$dir/src.tar" | wc -l)

step "format a volume: SQLite and a local directory" format
step "mount it" mount_volume
step "unpack $entries entries, $((bytes >> 20)) MiB" unpack
step "unmount" umount_volume
step "remove the cache" empty_cache
step "mount again" mount_volume
step "compare $files files with the original" compare
step "jfs bench" measure
step "unmount" umount_volume
step "status" "$jfs" status "$meta"

echo
echo "All $files files came back as they were written."
echo " seconds  step"
for line in "${steps[@]}"; do
	echo "${line%%|*}  ${line#*|}"
done
echo "Objects in the store: $(find "$dir/objects" -type f | wc -l)"
