#!/bin/sh
# redis-server, unchanged, through the card: it listens on the card's address, answers there, and forks to save.
# net.sh runs it. usage: redis.sh XNIC [REQUESTS]
set -eu
xnic=$1 requests=${2:-2000}
command -v redis-server > /dev/null && command -v redis-benchmark > /dev/null ||
  { echo "redis-server and redis-benchmark are not installed: skipped"; exit 77; }
folder=$(mktemp -d)
server=
clean() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  rm -rf "$folder"
}
trap clean EXIT
card() { timeout 60 ip netns exec "$CARD_NS" "$@"; }
cli() { card redis-cli -h 10.88.0.1 -p 6379 "$@"; }
expect() {  # WANTED COMMAND...
  wanted=$1
  shift
  got=$(cli "$@")
  [ "$got" = "$wanted" ] || { echo "redis-cli $*: '$got', not '$wanted'"; cat "$folder/log"; exit 1; }
}

ip netns exec "$HOST_NS" "$xnic" offload --agent "$AGENT" -- redis-server --bind 0.0.0.0 --save "" --dir "$folder" \
  --protected-mode no > "$folder/log" 2>&1 &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ "$(cli ping 2>/dev/null || true)" = PONG ] && break
  sleep 0.5
done
expect PONG ping
# Its socket is in the card's kernel, and not in the host's.
card ss -ltn | grep -q ':6379 ' || { echo "nobody listens at the card"; exit 1; }
! ip netns exec "$HOST_NS" ss -ltn | grep -q ':6379 ' || { echo "the host's kernel listens"; exit 1; }

timeout 600 ip netns exec "$CARD_NS" redis-benchmark -h 10.88.0.1 -p 6379 -n "$requests" -c 20 -t get,set,lpush,lrange_100 -q --csv
expect OK set key "a value with spaces"
expect "a value with spaces" get key
# More than fits into a window, both ways.
head -c 1500000 /dev/urandom | base64 -w 0 > "$folder/large"
cli -x set large < "$folder/large" > /dev/null
cli get large | tr -d '\n' | cmp - "$folder/large"
# Half of the sockets are the child's, too, while it saves.
expect "Background saving started" bgsave
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  cli info persistence | grep -q 'rdb_bgsave_in_progress:0' && break
  sleep 0.25
done
cli info persistence | grep -q 'rdb_last_bgsave_status:ok' || { echo "saving failed"; cat "$folder/log"; exit 1; }
[ -s "$folder/dump.rdb" ]
expect "a value with spaces" get key
cli shutdown nosave > /dev/null 2>&1 || true
echo "redis: $requests requests of each kind, contents equal, saved by a child"
