#!/bin/bash
# run.sh [ROUNDS] - measures Sidekiq and BullMQ beside Skein and the ideal loop: same machine, same run, same redis-server.
#
# Needs a built tree (make).  Installs what is missing: ruby-sidekiq, redis-server and, without a node and npm, nodejs and npm, from
# Debian; BullMQ as package.json says, into $BUILD/peers.  None of these are needed for anything else, so they are not in packages.txt.
# Prints a table for tests/bench/RESULTS-redis.md.
set -eu
cd "$(dirname "$0")/../../.."
rounds=${1:-3}
build=$(realpath "${BUILD:-build}")
out=$build/${VARIANT:-release}
here=tests/bench/peers

list=$(mktemp)
trap 'rm -f "$list"' EXIT
printf '%s\n' ruby-sidekiq redis-server redis-tools > "$list"
command -v node >/dev/null && command -v npm >/dev/null || printf '%s\n' nodejs npm >> "$list"
tests/deps.sh "$list"

mkdir -p "$build/peers"
if ! cmp -s $here/package.json "$build/peers/package.json"; then
  cp $here/package.json "$build/peers/package.json.new"
  mv "$build/peers/package.json.new" "$build/peers/package.json"
  (cd "$build/peers" && npm install --no-package-lock --ignore-scripts --no-audit --no-fund) || { rm "$build/peers/package.json"; exit 1; }
fi

make --no-print-directory BUILD="$build" build "$out/tests/bench/redis_ideal"
NODE_PATH=$build/peers/node_modules LUA_PATH="./?.lua;./lua/?.lua;./lua/?/init.lua;./tests/bench/scripts/lib/?.lua;;" LUA_CPATH="$out/lua/?.so;;" \
  luajit $here/peers.lua "$out" "$rounds"
