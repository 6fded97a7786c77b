#!/bin/bash
# run-all.sh - runs every test from a built tree: unit, spec, contract, examples, system on each store, a short chaos run;
# then the sanitizers, a build with clang, and the fuzz targets over their corpora.  The last line is the sum over all groups,
# `N passed, N failed`.  The exit status is 1 when anything failed or did not run.  The groups that measure latencies run
# alone, one after the other; in the others make runs two programs at a time.
set -u
cd "$(dirname "$0")/.." || exit 1
MAKE=${MAKE:-make}
passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# Runs one group, shows its output, and adds its counts: "n passed, n failed" lines, and cmocka's "[  PASSED  ] n test(s)." and
# "[  FAILED  ] n test(s)" of the other programs (the contract prints both: its own line counts).  A group that fails without
# saying how many, or runs nothing, counts as one failure.
group() {
  local name=$1 status p f
  shift
  echo "== $name"
  SECONDS=0
  "$@" 2>&1 | tee "$out"
  status=${PIPESTATUS[0]}
  read -r p f < <(awk '
    /^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 }
    /^\[  PASSED  \] [0-9]+ test.* contract-/ { next }
    /^\[  PASSED  \] [0-9]+ test/ { cp += $4 }
    /^\[  FAILED  \] [0-9]+ test/ { cf += $4 }
    END { print p + cp, f + cf }' "$out")
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

PAIRS=(--no-print-directory -j2 -Otarget -k)

group "unit, spec, contract" "$MAKE" "${PAIRS[@]}" unit spec contract
group examples "$MAKE" --no-print-directory examples
group system "$MAKE" --no-print-directory system
group system-redis "$MAKE" --no-print-directory system SKEIN_TEST_STORE=redis
group chaos "$MAKE" --no-print-directory chaos-short
group "asan, tsan, clang, fuzz-corpus" "$MAKE" "${PAIRS[@]}" asan tsan clang fuzz-corpus

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
