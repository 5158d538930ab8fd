#!/bin/sh
# Runs a command beside a card: two network namespaces, `host` with nothing but loopback, `card` with the addresses
# 10.88.0.1 and fd88::1 and an agent. The command finds their names in HOST_NS and CARD_NS, the agent's socket in AGENT.
# usage: net.sh AGENT-PROGRAM COMMAND...     77: no right to make namespaces
set -eu
program=$1
shift
[ "$(id -u)" = 0 ] || { echo "needs root for network namespaces: skipped"; exit 77; }
HOST_NS=xnic-oh-$$ CARD_NS=xnic-oc-$$
folder=$(mktemp -d)
AGENT=$folder/agent.sock
agent=
clean() {
  [ -z "$agent" ] || { kill "$agent" 2>/dev/null || true; wait "$agent" 2>/dev/null || true; }
  ip netns del "$HOST_NS" 2>/dev/null || true
  ip netns del "$CARD_NS" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean EXIT
trap 'exit 1' INT TERM
ip netns add "$HOST_NS" 2>/dev/null || { echo "network namespaces cannot be made here: skipped"; exit 77; }
ip netns add "$CARD_NS"
ip -n "$HOST_NS" link set lo up
ip -n "$CARD_NS" link set lo up
ip -n "$CARD_NS" addr add 10.88.0.1/32 dev lo
ip -n "$CARD_NS" addr add fd88::1/128 dev lo nodad 2>/dev/null || true
ip netns exec "$CARD_NS" "$program" --socket "$AGENT" > "$folder/agent.log" 2>&1 &
agent=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -S "$AGENT" ] && break
  sleep 0.25
done
[ -S "$AGENT" ] || { cat "$folder/agent.log"; exit 1; }
export HOST_NS CARD_NS AGENT
"$@"
