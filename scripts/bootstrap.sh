#!/bin/sh
# Installs the Debian packages that xnic is built and tested with, if any is missing. Quiet when there is nothing to do.
# Without root it says which command an administrator has to run.
# usage: bootstrap.sh [peers]    peers: also what bench-native and bench-datapath are measured beside (DPDK)
set -eu
packages="make cmake ninja-build g++ pkg-config ccache clang-19 clang-tidy-19 clang-format-19 llvm-19 llvm-19-dev libclang-rt-19-dev
  libbpf-dev libelf-dev zlib1g-dev libpcap-dev libexpected-dev libcli11-dev libfmt-dev nlohmann-json3-dev libgtest-dev
  libgmock-dev linux-libc-dev libc6-dev bpftool iproute2 xdp-tools libxdp-dev libz3-dev libspdlog-dev libtomlplusplus-dev
  libseccomp-dev libcap-ng-dev prometheus-cpp-dev iputils-ping iperf3 curl git xz-utils python3"
[ "${1-}" != peers ] || packages="$packages dpdk dpdk-dev librte-net-memif23 librte-net-af-xdp23 librte-mempool-ring23"
[ "${1-}" != clients ] || packages="$packages redis-server redis-tools"
missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "xnic needs these Debian packages:$missing" >&2
  echo "Install them with: sudo apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # the list is words on purpose
apt-get install -q -y --no-install-recommends $missing
