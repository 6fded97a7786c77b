#!/bin/bash
# examples.sh [SKEIN] - runs every folder of scripts/ as its head comment says: NAME.start, then the engine until all is done.
# Each must load, end with status 0 within its time, and leave no job behind; the specs that it has must pass.  The last line is
# `N passed, N failed`.
set -u
cd "$(dirname "$0")/.." || exit 1
skein=${1:-build/release/skein}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0
failed=0

try() {
  local name=$1 store=sqlite:$dir/$1.db
  "$skein" check "scripts/$name" >"$dir/log" 2>&1 || return
  "$skein" enqueue "$name.start" -s "$store" >>"$dir/log" 2>&1 || return
  timeout 60 "$skein" run "scripts/$name" -s "$store" --drain >>"$dir/log" 2>&1 || return
  [ "$("$skein" jobs -s "$store" --json --state dead)" = "[]" ] || return
  [ ! -e "scripts/$name/_enqueue.lua" ] || program "$name" "$store" >>"$dir/log" 2>&1 || return
  [ ! -d "scripts/$name/spec" ] || specs "scripts/$name/spec" >>"$dir/log" 2>&1
}

# A plain program that waits for a job, beside an engine that is told to stop afterwards.
program() {
  local engine status=0
  "$skein" run "scripts/$1" -s "$2" &
  engine=$!
  module timeout 30 luajit "scripts/$1/_enqueue.lua" "$2" || status=$?
  kill -TERM $engine
  wait $engine && return $status
}

module() {
  LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH="$(dirname "$skein")/lua/?.so;;" "$@"
}

specs() {
  module timeout 60 busted --lua=luajit "$1"
}

for folder in scripts/*/; do
  name=$(basename "$folder")
  if try "$name"; then
    passed=$((passed + 1))
    echo "ok      scripts/$name"
  else
    failed=$((failed + 1))
    echo "FAILED  scripts/$name"
    sed 's/^/    /' "$dir/log"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
