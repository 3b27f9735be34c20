#!/usr/bin/env bash
# need.sh COMMAND:PACKAGE[,PACKAGE...] ...
# Installs the packages of commands that are missing, with one apt-get run. Without root, or without apt-get, it
# says what is to be installed instead.
set -euo pipefail

# Servers live outside of everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
for dir in /usr/lib/postgresql/*/bin; do
	PATH=$PATH:$dir
done

missing=()
for need in "$@"; do
	if ! command -v "${need%%:*}" >/dev/null; then
		IFS=, read -ra packages <<<"${need#*:}"
		missing+=("${packages[@]}")
	fi
done
if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi

if ! command -v apt-get >/dev/null; then
	echo "missing: ${missing[*]} (Debian's names): install them with this distribution's package manager" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "missing: ${missing[*]}; as root: apt-get update && apt-get install ${missing[*]}" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# The tests start servers of their own. In run level 1 the packages' scripts start none, where systemd does not decide.
export RUNLEVEL=1
apt-get update
apt-get install -y --no-install-recommends "${missing[@]}"
