// SPDX-License-Identifier: Apache-2.0
// Each packet comes from one of several generators, drawn by weight. All generators have the same few flows, so that
// maps filled with one packet's addresses are hit by others.
#include "frame_mix.hpp"

#include <algorithm>

namespace xnic::tests {
namespace {

using nic::traffic::Generator;
using nic::traffic::Options;
using nic::traffic::Protocol;
using nic::traffic::Sizes;

constexpr uint32_t kFlows = 24;

Options options(uint64_t seed, Sizes sizes, uint32_t vlan_tags, uint32_t malformed_percent) {
  Options all;
  all.seed = seed;
  all.flows = kFlows;
  all.sizes = sizes;
  all.protocols = {Protocol::kUdp,  Protocol::kUdp,  Protocol::kTcp,   Protocol::kTcp, Protocol::kIcmp,
                   Protocol::kUdp6, Protocol::kTcp6, Protocol::kIcmp6, Protocol::kArp, Protocol::kOther};
  all.vlan_tags = vlan_tags;
  all.malformed_percent = malformed_percent;
  return all;
}

}  // namespace

FrameMix::FrameMix(uint64_t seed) : rng_(seed), jumbo_(options(seed, {false, 3400, 9600}, 0, 10)) {
  for (uint32_t tags = 0; tags <= 2; ++tags) {
    plain_.emplace_back(options(seed + tags, {false, 60, 400}, tags, 0));
    malformed_.emplace_back(options(seed + tags, {false, 60, 1514}, tags, 100));
  }
}

void FrameMix::add_samples(std::vector<std::vector<uint8_t>> samples) {
  std::move(samples.begin(), samples.end(), std::back_inserter(samples_));
}

void FrameMix::mutate(std::vector<uint8_t>& frame) {
  for (uint64_t times = rng_.range(1, 3); times > 0; --times)
    frame[rng_.below(std::min<size_t>(frame.size(), 80))] = uint8_t(rng_.next());
  if (rng_.chance(1, 4)) frame.resize(rng_.range(exec::packet::kMinFrameBytes, frame.size()));
}

void FrameMix::next(RandomPacket& packet) {
  packet.metadata.clear();
  const uint64_t draw = rng_.below(100);
  const uint64_t tags = rng_.chance(2, 3) ? 0 : rng_.range(1, 2);
  if (draw < 20 && !samples_.empty()) {
    packet.frame = samples_[rng_.below(samples_.size())];
    if (draw < 10) mutate(packet.frame);
  } else if (draw < 72) {
    plain_[tags].next(packet.frame);
  } else if (draw < 90) {
    malformed_[tags].next(packet.frame);
  } else if (draw < 93) {
    jumbo_.next(packet.frame);
  } else {
    packet = random_packet(rng_);
  }
}

}  // namespace xnic::tests
