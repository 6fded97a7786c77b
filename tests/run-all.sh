#!/bin/bash
# run-all.sh - every test there is, from a built tree: unit, contract, spec, examples, system on each store, a short chaos run; then
# a build with clang, unit and contract tests under the sanitizers, and the fuzz targets over their corpora.  The last line is the
# sum over all of them, `N passed, N failed`; the exit status is 1 when anything failed or did not run.  Groups that measure
# latencies run one after the other; within the others make runs two programs at a time.
set -u
cd "$(dirname "$0")/.." || exit 1
MAKE=${MAKE:-make}
passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# Runs one group, shows its output, and adds its counts: the group's own "n passed, n failed" lines where it has some, else
# cmocka's "[  PASSED  ] n test(s)." and "[  FAILED  ] n test(s)".  A group that fails without saying how many, or runs
# nothing, counts as one failure.
group() {
  local name=$1 status p f
  shift
  echo "== $name"
  SECONDS=0
  "$@" 2>&1 | tee "$out"
  status=${PIPESTATUS[0]}
  read -r p f < <(awk '
    /^[0-9]+ passed, [0-9]+ failed$/ { own = 1; p += $1; f += $3 }
    /^\[  PASSED  \] [0-9]+ test/ { cp += $4 }
    /^\[  FAILED  \] [0-9]+ test/ { cf += $4 }
    END { if (own) print p + 0, f + 0; else print cp + 0, cf + 0 }' "$out")
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    echo "$name: exit status $status without a failed test"
    f=1
  elif [ "$status" -eq 0 ] && [ "$p" -eq 0 ]; then
    echo "$name: ran no test"
    f=1
  fi
  passed=$((passed + p))
  failed=$((failed + f))
  echo "-- $name: $p passed, $f failed in $SECONDS s"
}

# A group that is one test: it ends with status 0 or not.
step() {
  echo "== $1"
  local name=$1
  SECONDS=0
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
  fi
  echo "-- $name: $SECONDS s"
}

# The Lua module's own specs.
spec() {
  LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH="${BUILD:-build}/${VARIANT:-release}/lua/?.so;;" \
    busted --lua=luajit --output=tests/report.lua tests/spec
}

group unit "$MAKE" --no-print-directory unit
group contract "$MAKE" --no-print-directory contract
if compgen -G 'tests/spec/*_spec.lua' >/dev/null; then group spec spec; fi
group examples "$MAKE" --no-print-directory examples
group system "$MAKE" --no-print-directory system
group system-redis "$MAKE" --no-print-directory system SKEIN_TEST_STORE=redis
group chaos "$MAKE" --no-print-directory chaos-short
step clang "$MAKE" --no-print-directory clang
group asan "$MAKE" --no-print-directory -j2 -Otarget asan
group tsan "$MAKE" --no-print-directory -j2 -Otarget tsan
step fuzz-corpus "$MAKE" --no-print-directory -j2 fuzz-corpus

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
