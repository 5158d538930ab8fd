#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the corpus of other people's XDP programs in build/corpus (or the folder given as first argument):
# Debian packages -> the needed folders of their kernel sources -> vmlinux.h of the running kernel -> objects and index.json.
# Every step looks whether its result is there already, so a second run only does what is missing.
# The programs stay where Debian put them: nothing of them is part of this repository. No network but apt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "${1:-$root/build/corpus}"
out=$(cd "${1:-$root/build/corpus}" && pwd)

packages=(linux-source-6.12 linux-source-6.1 xdp-tools libxdp1 libxdp-dev xdp-tests
  clang-19 bpftool libbpf-dev python3 xz-utils)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "corpus: these Debian packages are missing and only root can install them: ${missing[*]}" >&2
    exit 1
  fi
  echo "corpus: installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$out/apt.log" 2>&1 ||
    { tail -20 "$out/apt.log" >&2; exit 1; }
fi

# The stamp holds the package's version: a new package version throws the old sources away.
for version in 6.12 6.1; do
  tree=$out/src/$version
  stamp="linux-source-$version $(dpkg-query -W -f '${Version}' "linux-source-$version")"
  if [ "$(cat "$tree/.stamp" 2>/dev/null)" != "$stamp" ]; then
    echo "corpus: extracting $stamp"
    rm -rf "$tree"
    mkdir -p "$tree"
    folders=(samples/bpf tools/testing/selftests/bpf tools/testing/selftests/net tools/lib/bpf tools/include
      include/uapi scripts/bpf_doc.py)
    xz -T0 -dc "/usr/src/linux-source-$version.tar.xz" |
      tar -xf - -C "$tree" --strip-components=1 "${folders[@]/#/linux-source-$version/}"
    # libbpf's helper prototypes are generated from the comments of bpf.h, as the kernel's own build does.
    mkdir -p "$tree/generated"
    python3 "$tree/scripts/bpf_doc.py" --header --file "$tree/include/uapi/linux/bpf.h" >"$tree/generated/bpf_helper_defs.h"
    echo "$stamp" >"$tree/.stamp"
  fi
done

# vmlinux.h: the running kernel's types. The stamp is the kernel's release.
mkdir -p "$out/vmlinux"
if [ -r /sys/kernel/btf/vmlinux ]; then
  if [ "$(cat "$out/vmlinux/.stamp" 2>/dev/null)" != "$(uname -r)" ]; then
    echo "corpus: writing vmlinux.h of the running kernel, $(uname -r)"
    bpftool btf dump file /sys/kernel/btf/vmlinux format c >"$out/vmlinux/vmlinux.h.new"
    mv "$out/vmlinux/vmlinux.h.new" "$out/vmlinux/vmlinux.h"
    uname -r >"$out/vmlinux/.stamp"
  fi
else
  rm -f "$out/vmlinux/vmlinux.h" "$out/vmlinux/.stamp"
  echo "corpus: no /sys/kernel/btf/vmlinux, so the programs that include vmlinux.h are left out (listed in failed.txt)"
fi

exec python3 -B "$here/compile.py" "$out"
