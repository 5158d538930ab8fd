#!/bin/sh
# The programs of apps/efvi on a card of their own: round trips by every way to send, numbered frames sent and checked,
# the same through a forwarder and into a capture, answers from alternatives.
# usage: apps.sh FOLDER_OF_PROGRAMS
set -eu
bin=$1
if [ "${2-}" != inside ]; then
  exec timeout 120 "$bin/xnic-efvi" --no-kernel --ports a:b c:d -- "$0" "$bin" inside
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Runs a program in the background and waits until it says that it is ready.
begin() {
  "$@" > "$folder/out" 2>&1 &
  started=$!
  for i in $(seq 200); do
    ! grep -q ready "$folder/out" || return 0
    sleep 0.05
  done
  echo "not ready: $*"; cat "$folder/out"; exit 1
}

for mode in dma pio ctpio alt; do
  "$bin/xnic-efvi-ping" pong b --mode $mode --count 500 --warm-up 10 &
  started=$!
  sleep 0.5
  "$bin/xnic-efvi-ping" ping a --mode $mode --count 500 --warm-up 10 | grep -q '500 samples'
  wait $started
done

begin "$bin/xnic-efvi-blast" receive b --count 5000
"$bin/xnic-efvi-blast" send a --count 5000 --rate 20000
wait $started
grep 'received' "$folder/out"
grep -q ' 0 wrong' "$folder/out"

# a sends, b and c are joined by the forwarder, d receives.
"$bin/xnic-efvi-forward" b c > "$folder/forward" &
forwarder=$!
"$bin/xnic-efvi-capture" d --out "$folder/capture.pcapng" --count 1000 &
capture=$!
begin "$bin/xnic-efvi-blast" receive d --count 5000 --bytes 64
sleep 0.5
"$bin/xnic-efvi-blast" send a --count 5000 --rate 20000
wait $started
grep -q ' 0 wrong' "$folder/out"
wait $capture
kill $forwarder
wait $forwarder
grep ' frames to c' "$folder/forward"
[ "$(wc -c < "$folder/capture.pcapng")" = $((60 + 1000 * (32 + 64))) ]
