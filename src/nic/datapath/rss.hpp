// SPDX-License-Identifier: Apache-2.0
// Receive-side scaling: the Toeplitz hash of a packet's addresses and ports, and the table from hash to queue
// (Microsoft, "RSS Hashing Types" and "Verifying the RSS Hash Calculation"; the same in every NIC that has RSS).
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "exec/packet/packet.hpp"
#include "nic/datapath/headers.hpp"

namespace xnic::nic::datapath {

inline constexpr size_t kRssKeyBytes = 40;
inline constexpr size_t kRssTableEntries = 128;
using RssKey = std::array<uint8_t, kRssKeyBytes>;
// The key of the published test vectors, which most drivers have as their default.
extern const RssKey kStandardRssKey;

// Which packets are hashed over what. Without the type with ports, TCP and UDP are hashed over the addresses alone.
enum RssType : uint32_t { kRssIpv4 = 1, kRssTcp4 = 2, kRssUdp4 = 4, kRssIpv6 = 8, kRssTcp6 = 16, kRssUdp6 = 32 };
inline constexpr uint32_t kRssAllTypes = 63;

class Toeplitz {
 public:
  explicit Toeplitz(const RssKey& key);
  // Pre: input.size() <= 36, as much as the key covers.
  uint32_t hash(base::Bytes input) const;

 private:
  // What each value of each half byte of the input adds; small enough to stay in the first cache.
  std::array<std::array<uint32_t, 16>, 2 * (kRssKeyBytes - 4)> nibbles_;
};

struct RssOptions {
  RssKey key = kStandardRssKey;
  uint32_t types = kRssAllTypes;
  std::array<uint16_t, kRssTableEntries> table{};  // from the low seven bits of the hash to the queue
  // The table that spreads evenly over `queues`.
  static RssOptions spread(uint32_t queues);
};

class Rss {
 public:
  explicit Rss(const RssOptions& options) : options_(options), toeplitz_(options.key) {}
  const RssOptions& options() const { return options_; }
  // The hash of the packet; 0 for packets of no chosen type, which go to the table's first queue.
  uint32_t hash(const exec::packet::Packet& packet, const Headers& headers) const { return hash(packet.data, headers); }
  // The same for a frame whose headers were found whole.
  uint32_t hash(const uint8_t* frame, const Headers& headers) const;
  uint32_t queue(const exec::packet::Packet& packet, const Headers& headers) const {
    return options_.table[hash(packet, headers) % kRssTableEntries];
  }

 private:
  RssOptions options_;
  Toeplitz toeplitz_;
};

}  // namespace xnic::nic::datapath
