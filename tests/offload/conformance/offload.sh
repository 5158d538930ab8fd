#!/bin/sh
# Kernel TCP on one side, the offload on the other; net.sh runs it.
# usage: offload.sh RUNNER PROGRAM LIBRARY DIFFERENCES [options of the runner]
set -eu
runner=$1 program=$2 library=$3 differences=$4
shift 4
exec "$runner" "$program" --left-netns "/run/netns/$CARD_NS" --right-netns "/run/netns/$HOST_NS" \
  --peer-netns "/run/netns/$CARD_NS" --addresses 10.88.0.1,fd88::1 --differences "$differences" \
  --right "env LD_PRELOAD=$library XNIC_OFFLOAD_SOCKET=$AGENT" "$@"
