#!/bin/bash
# run-all.sh - every test there is, from a built tree: unit, contract, spec, system.  The last line is the sum over all of
# them, `N passed, N failed`; the exit status is 1 when anything failed or did not run.
set -u
cd "$(dirname "$0")/.." || exit 1
MAKE=${MAKE:-make}
passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# Runs one group, shows its output, and adds its counts: cmocka's "[  PASSED  ] n test(s)." and "[  FAILED  ] n test(s)",
# and our own "n passed, n failed".  A group that fails without saying how many counts as one failure.
group() {
  local name=$1 p f status
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$out"
  status=${PIPESTATUS[0]}
  p=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p; s/^([0-9]+) passed, [0-9]+ failed$/\1/p' "$out" | awk '{n += $1} END {print n + 0}')
  f=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p; s/^[0-9]+ passed, ([0-9]+) failed$/\1/p' "$out" | awk '{n += $1} END {print n + 0}')
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    echo "$name: exit status $status without a failed test"
    f=1
  fi
  if [ "$status" -eq 0 ] && [ "$p" -eq 0 ]; then
    echo "$name: ran no test"
    f=$((f + 1))
  fi
  passed=$((passed + p))
  failed=$((failed + f))
}

# The Lua module's own specs.
spec() {
  LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH="${BUILD:-build}/${VARIANT:-release}/lua/?.so;;" \
    busted --lua=luajit --output=tests/report.lua tests/spec
}

group unit "$MAKE" --no-print-directory unit
group contract "$MAKE" --no-print-directory contract
group spec spec
group system "$MAKE" --no-print-directory system

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
