// SPDX-License-Identifier: Apache-2.0
// Limits of the parameters and the latency table of helpers.
#include "arch/hxdp/machine.hpp"

#include <algorithm>
#include <bit>

namespace xnic::arch::hxdp {

base::Result<void> validate(const Parameters& p) {
  using base::ErrorKind;
  if (p.lanes < 1 || p.lanes > kMaxLanes)
    return base::make_error(ErrorKind::kBadInput, "hxdp lanes", "{} lanes; the machine has 1 to {}", p.lanes,
                            kMaxLanes);
  if (p.rows < 1 || p.rows > kMaxRows)
    return base::make_error(ErrorKind::kBadInput, "hxdp rows", "{} rows of instruction memory; 1 to {} are possible",
                            p.rows, kMaxRows);
  if (p.frame_bytes < 8 || p.frame_bytes > 256 || !std::has_single_bit(p.frame_bytes))
    return base::make_error(ErrorKind::kBadInput, "hxdp frame bytes", "{}; a power of two from 8 to 256 is needed",
                            p.frame_bytes);
  if (p.clock_hz == 0) return base::make_error(ErrorKind::kBadInput, "hxdp clock", "0 Hz");
  if (p.cores < 1 || p.cores > 64)
    return base::make_error(ErrorKind::kBadInput, "hxdp cores", "{} cores; 1 to 64 are possible", p.cores);
  return {};
}

namespace {
enum Id : ebpf::HelperId {
  kLookup = 1,
  kUpdate = 2,
  kDelete = 3,
  kPrintk = 6,
  kCsumDiff = 28,
  kPush = 87,
  kPop = 88,
  kPeek = 89,
  kForEach = 164,
  kSnprintf = 165,
  kVprintk = 177,
  kStrncmp = 182,
  kLoadBytes = 189,
  kStoreBytes = 190,
};
uint32_t moves(uint32_t bytes, const Parameters& p) {
  return std::max<uint32_t>(1, (bytes + p.frame_bytes - 1) / p.frame_bytes);
}
}  // namespace

uint32_t helper_cycles(ebpf::HelperId helper, ebpf::MapType map, uint32_t bytes, const Parameters& p) {
  switch (helper) {
    case kLookup:
    case kUpdate:
    case kDelete:
      // A trie over the address bytes: the prefix length word (4 bytes) is no step.
      if (map == ebpf::kMapLpmTrie) return bytes > 4 ? bytes - 4 : 1;
      // Map of maps: the outer row, then the inner map's descriptor.
      if (map == ebpf::kMapArrayOfMaps || map == ebpf::kMapHashOfMaps) return 2;
      return 1;
    case kCsumDiff:
    case kPush:
    case kPop:
    case kPeek:
    case kLoadBytes:
    case kStoreBytes:
    case kStrncmp:
    case kPrintk:
    case kSnprintf:
    case kVprintk:
      return moves(bytes, p);
    default:
      return 1;
  }
}

}  // namespace xnic::arch::hxdp
