#!/bin/bash
# deps.sh [packages.txt] - installs what is missing of the Debian packages that are listed there, with sudo where not root.
set -eu
list=${1:-$(dirname "$0")/../packages.txt}
wanted=$(grep -vE '^[[:space:]]*(#|$)' "$list")
missing=()
for package in $wanted; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "deps: not root, and no sudo: install by hand: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
echo "deps: installing ${missing[*]}"
# A server that a package brings must not start by itself: tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod 755 "$policy"
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
# What apt says is of interest only when it fails.  Old lists may still serve when new ones can't be had.
get() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" 2>&1; }
said=$(get update) || echo "$said" >&2
said=$(get install --no-install-recommends "${missing[@]}") || { echo "$said" >&2; echo "deps: apt-get install failed" >&2; exit 1; }
