#!/bin/sh
# The main job on real packets: four programs, the traces of data/traces, interpreter and (with root) the live kernel side by side.
# usage: demo.sh XNIC PROGRAM_DIR
set -eu
xnic=$1
programs=$2
traces="--in data/traces/5_flows_64_bytes.pcap --in data/traces/10_flows_64_bytes.pcap --in data/traces/100_flows_1500_bytes.pcap"
if [ "$(id -u)" = 0 ]; then
  engines="--engine interp --compare kernel"
else
  echo "Not root: the live kernel takes no programs from here, so only the interpreter runs."
  engines="--engine interp"
fi
# shellcheck disable=SC2086 # lists of words on purpose
exec "$xnic" run "$programs/xdp1.bpf.o" "$programs/xdp2.bpf.o" "$programs/adjust_tail.bpf.o" "$programs/tx.bpf.o" $traces $engines --repeat 100
