#!/bin/bash
# lint_includes.sh - the layers of core/ are kept: includes point downward only, each library's header appears in its own rooms
# only, and no file has grown past 800 lines.  Prints what is wrong as file:line: message; exits 1 then.  ROOT: the tree to check.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2

LAYERS=(base logic io store engine lua app)
LINES_MAX=800
wrong=0

complain() {
  echo "$1"
  wrong=$((wrong + 1))
}

rank() {
  local i
  for i in "${!LAYERS[@]}"; do
    if [ "${LAYERS[$i]}" = "$1" ]; then
      echo "$i"
      return
    fi
  done
  echo -1
}

# 'file:line:layer' of every include of a header of ours.
while IFS=: read -r file line included; do
  layer=${file#core/}
  layer=${layer%%/*}
  from=$(rank "$layer")
  to=$(rank "$included")
  [ "$to" -ge 0 ] || continue
  [ "$to" -le "$from" ] || complain "$file:$line: $layer includes $included, which is above it"
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' core | sed -nE 's/^([^:]+):([0-9]+):[^"]*"([a-z]+)\/.*/\1:\2:\3/p')

# A library's header, and the files that may include it (extended regular expressions).
only_in() {
  local header=$1 rooms=$2 file line
  while IFS=: read -r file line _; do
    [[ $file =~ $rooms ]] || complain "$file:$line: $header belongs to files that match $rooms"
  done < <(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($header)[>\"]" core)
}
only_in 'uv\.h' '^core/io/'
only_in '(luv/)?(luv|lua|lauxlib|lualib|luajit)\.h' '^core/lua/'
only_in 'sqlite3\.h' '^core/store/sqlite/'
only_in 'hiredis/.*|hiredis\.h' '^core/store/redis/'
only_in 'amqp.*\.h|rabbitmq-c/.*' '^core/store/amqp/'

# Every folder of core/ is a layer.
for dir in core/*/; do
  [ "$(rank "$(basename "$dir")")" -ge 0 ] || complain "$dir: not a layer: ${LAYERS[*]}"
done

while read -r lines file; do
  [ "$lines" -lt $LINES_MAX ] || complain "$file:$lines: $lines lines; at $LINES_MAX a file has two jobs: split it by noun"
done < <(find core -type f \( -name '*.c' -o -name '*.h' -o -name '*.lua' \) -exec wc -l {} + | awk '$2 != "total" {print $1, $2}')

[ "$wrong" -eq 0 ] || { echo "$wrong mistakes"; exit 1; }
