// SPDX-License-Identifier: Apache-2.0
// Synthetic traffic: the same options and seed give the same frames on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/rng.hpp"

namespace xnic::nic::traffic {

enum class Protocol : uint8_t { kUdp, kTcp, kIcmp, kUdp6, kTcp6, kIcmp6, kArp, kOther };

// Frame sizes without FCS, chosen per packet.
struct Sizes {
  bool imix = false;        // 7 x 60, 4 x 590, 1 x 1514: the simple Internet mix, FCS taken off
  uint32_t min_bytes = 60;  // else uniform in [min_bytes, max_bytes]
  uint32_t max_bytes = 60;
};

struct Options {
  uint64_t seed = 1;
  uint32_t flows = 100;  // distinct 5-tuples per protocol
  Sizes sizes = {};
  std::vector<Protocol> protocols = {Protocol::kUdp};  // drawn with equal probability; repeat one to weigh it
  uint32_t vlan_tags = 0;                              // 0..2 tags (2: 802.1ad outside, 802.1Q inside)
  uint32_t malformed_percent = 0;  // frames damaged: cut short, wrong lengths, flipped bits, odd header sizes
};

inline constexpr uint32_t kMinFrameBytes = 14;
inline constexpr uint32_t kMaxFrameBytes = 16384;

// "64"-like, "60-1514" or "imix". Errors: kBadInput.
base::Result<Sizes> parse_sizes(std::string_view text);
// "udp,tcp,icmp,udp6,tcp6,icmp6,arp,other". Errors: kBadInput.
base::Result<std::vector<Protocol>> parse_protocols(std::string_view text);

class Generator {
 public:
  // Pre: options.protocols is not empty, options.flows > 0, sizes inside [kMinFrameBytes, kMaxFrameBytes].
  explicit Generator(const Options& options);
  // Makes the next frame in `frame` (capacity is reused). A TCP flow's first packet is a SYN; its later ones carry data
  // and ACK.
  void next(std::vector<uint8_t>& frame);

 private:
  void build(std::vector<uint8_t>& frame, Protocol protocol, uint32_t flow, uint32_t bytes);
  void damage(std::vector<uint8_t>& frame);
  Options options_;
  base::Rng rng_;
  std::vector<uint32_t> tcp_sent_[2];  // packets so far, by flow; IPv4 and IPv6
};

}  // namespace xnic::nic::traffic
