// SPDX-License-Identifier: Apache-2.0
#include "exec/sim/hxdp/flow.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

constexpr uint16_t kIpv4 = 0x0800;
constexpr uint16_t kIpv6 = 0x86dd;
constexpr uint16_t kVlan = 0x8100;
constexpr uint16_t kServiceVlan = 0x88a8;

struct Fnv {
  uint64_t state = 0xcbf29ce484222325u;
  void add(base::Bytes frame, size_t from, size_t bytes) {
    for (size_t i = from; i < from + bytes && i < frame.size(); ++i) state = (state ^ frame[i]) * 0x100000001b3u;
  }
  uint64_t value() const { return state ^ state >> 32; }
};

bool has_ports(uint8_t protocol) { return protocol == 6 || protocol == 17; }

}  // namespace

uint64_t flow_hash(base::Bytes frame) {
  Fnv hash;
  size_t at = 12;
  const auto type_at = [&](size_t offset) {
    return offset + 2 <= frame.size() ? base::load_be<uint16_t>(frame.data() + offset) : uint16_t{0};
  };
  for (int tag = 0; tag < 2 && (type_at(at) == kVlan || type_at(at) == kServiceVlan); ++tag) at += 4;
  const uint16_t type = type_at(at);
  const size_t ip = at + 2;
  if (type == kIpv4 && ip + 20 <= frame.size()) {
    hash.add(frame, ip + 9, 1);
    hash.add(frame, ip + 12, 8);
    const bool fragment = (base::load_be<uint16_t>(frame.data() + ip + 6) & 0x3fff) != 0;
    const size_t header_bytes = size_t{4} * (frame[ip] & 15u);
    if (has_ports(frame[ip + 9]) && !fragment) hash.add(frame, ip + header_bytes, 4);
  } else if (type == kIpv6 && ip + 40 <= frame.size()) {
    hash.add(frame, ip + 6, 1);
    hash.add(frame, ip + 8, 32);
    if (has_ports(frame[ip + 6])) hash.add(frame, ip + 40, 4);
  } else {
    hash.add(frame, 0, 12);
    hash.add(frame, at, 2);
  }
  return hash.value();
}

}  // namespace xnic::exec::sim::hxdp
