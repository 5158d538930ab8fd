// SPDX-License-Identifier: Apache-2.0
#include "exec/sim/hxdp/traffic.hpp"

#include <algorithm>

namespace xnic::exec::sim::hxdp {
namespace {

// a * b / c without overflow. Pre: the result fits.
uint64_t scaled(uint64_t a, uint64_t b, uint64_t c) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b / c);
}

}  // namespace

uint64_t Arrivals::next(uint32_t bytes, uint64_t arrival_ns) {
  uint64_t cycle = 0;
  switch (traffic_.kind) {
    case Traffic::Kind::kBackToBack:
      break;
    case Traffic::Kind::kPackets:
      cycle = scaled(packets_, clock_hz_, traffic_.rate);
      break;
    case Traffic::Kind::kBits:
      cycle = scaled(wire_bits_, clock_hz_, traffic_.rate);
      break;
    case Traffic::Kind::kTimestamps:
      if (packets_ == 0) first_ns_ = arrival_ns;
      cycle = arrival_ns < first_ns_ ? 0 : scaled(arrival_ns - first_ns_, clock_hz_, 1'000'000'000);
      break;
  }
  ++packets_;
  wire_bits_ += 8 * (bytes + kWireBytes);
  return last_ = std::max(last_, cycle);
}

uint64_t ReadIns::frames_left(uint64_t cycle) {
  while (!list_.empty() && list_.front().in_start + list_.front().frames <= cycle) list_.pop_front();
  uint64_t left = 0;
  for (const Entry& entry : list_) {
    const uint64_t read = cycle <= entry.in_start ? 0 : std::min<uint64_t>(cycle - entry.in_start, entry.frames);
    left += entry.frames - read;
  }
  return left;
}

}  // namespace xnic::exec::sim::hxdp
