#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD [TARGET...]: runs the fuzz targets for FUZZ_SECONDS each (default 600), two at a time. The working corpora grow
# in BUILD/fuzz/corpus; new findings are put into BUILD/findings and make the exit code 1.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- door elf verifier interp pcap link
seconds=${FUZZ_SECONDS:-600}
work=$build/fuzz
mkdir -p "$work/logs" "$build/findings"

for target in "$@"; do
  [ ! -d "$work/corpus/$target" ] || continue
  mkdir -p "$work/corpus/$target"
  case $target in
    elf) cp "$build"/programs/drop.bpf.o "$build"/programs/xdp1.bpf.o "$build"/programs/redirect_map.bpf.o "$work/corpus/elf" ;;
    door | link) ;; # their kept inputs are the seeds
    pcap) cp "$root"/data/traces/5_flows_64_bytes.pcap "$work/corpus/pcap" ;;
    *) "$build/bin/fuzz_seeds" "$work/corpus/$target" "$root/tests/conformance/vectors" "$build"/programs/*.bpf.o ;;
  esac
done

# One target; quiet but for its last lines.
fuzz() {
  case $1 in
    elf) length=65536 ;;
    door) length=16384 ;;
    *) length=4096 ;;
  esac
  "$build/bin/fuzz_$1" -max_total_time="$seconds" -max_len=$length -timeout=60 -report_slow_units=60 \
    -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix="$build/findings/$1-" "$work/corpus/$1" "$root/tests/fuzz/corpus/$1" \
    >"$work/logs/$1.log" 2>&1 || echo "finding: $1, see $work/logs/$1.log"
  grep -E "cov:|number_of_executed_units|ERROR|SUMMARY" "$work/logs/$1.log" | tail -4 | sed "s/^/$1: /"
}

while [ $# -gt 0 ]; do
  fuzz "$1" &
  shift
  if [ $# -gt 0 ]; then
    fuzz "$1" &
    shift
  fi
  wait
done
[ -z "$(ls -A "$build/findings")" ]
