#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a program against a card of its own; fails, too, when the daemon is left with descriptors that it did not have before.
# usage: on_a_card.sh XNIC PROGRAM ARGUMENTS...
set -eu
xnic=$1
shift
folder=$(mktemp -d)
trap '"$xnic" down --socket "$folder/control" > /dev/null 2>&1 || true; rm -rf "$folder"' EXIT
printf '[card]\ncontrol = "control"\nspin_polls = 0\nframes = 1024\nengine = "interp"\n' > "$folder/card.toml"
printf '[[port]]\nname = "lan"\nkind = "memory"\nifindex = 4101\npath = "lan.sock"\n' >> "$folder/card.toml"
"$xnic" up "$folder/card.toml" > /dev/null
descriptors() {
  set -- "/proc/$(cat "$folder/control.lock")/fd"/*
  echo $#
}
before=$(descriptors)
"$xnic" exec --socket "$folder/control" -- "$@"
after=$(descriptors)
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ "$after" -gt "$before" ] || exit 0
  sleep 0.2 # connections that have ended are let go of with the next one
  "$xnic" exec --socket "$folder/control" -- bpftool map show > /dev/null
  after=$(descriptors)
done
[ "$after" -le $((before + 2)) ] && exit 0 # the connection that asked
echo "the daemon had $before descriptors and has $after" >&2
exit 1
