// SPDX-License-Identifier: Apache-2.0
// The Toeplitz hash is linear: the hash of an input is the exclusive or of what each set bit adds, and bit i adds the
// 32 bits of the key that begin at bit i. So a table by half bytes gives the hash with two look-ups a byte.
#include "nic/datapath/rss.hpp"

#include "base/check.hpp"
#include "wire/headers.hpp"

namespace xnic::nic::datapath {

const RssKey kStandardRssKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
                                0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
                                0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

Toeplitz::Toeplitz(const RssKey& key) {
  // The 32 bits of the key that begin at `bit`.
  const auto window = [&](size_t bit) {
    uint64_t five = 0;
    for (size_t i = 0; i < 5; ++i) five = five << 8 | (bit / 8 + i < key.size() ? key[bit / 8 + i] : 0);
    return static_cast<uint32_t>(five >> (8 - bit % 8));
  };
  for (size_t nibble = 0; nibble < nibbles_.size(); ++nibble) {
    for (uint32_t value = 0; value < 16; ++value) {
      uint32_t sum = 0;
      for (size_t bit = 0; bit < 4; ++bit)
        if (value >> (3 - bit) & 1) sum ^= window(nibble * 4 + bit);
      nibbles_[nibble][value] = sum;
    }
  }
}

uint32_t Toeplitz::hash(base::Bytes input) const {
  CHECK(input.size() * 2 <= nibbles_.size());
  uint32_t sum = 0;
  for (size_t i = 0; i < input.size(); ++i) sum ^= nibbles_[2 * i][input[i] >> 4] ^ nibbles_[2 * i + 1][input[i] & 15];
  return sum;
}

RssOptions RssOptions::spread(uint32_t queues) {
  CHECK(queues != 0);
  RssOptions options;
  for (size_t i = 0; i < options.table.size(); ++i) options.table[i] = static_cast<uint16_t>(i % queues);
  return options;
}

uint32_t Rss::hash(const uint8_t* frame, const Headers& headers) const {
  if (headers.version == 0) return 0;
  const bool four = headers.version == 4;
  const uint32_t tcp = four ? kRssTcp4 : kRssTcp6, udp = four ? kRssUdp4 : kRssUdp6, ip = four ? kRssIpv4 : kRssIpv6;
  const bool with_ports = headers.ports && (options_.types & (headers.protocol == wire::kTcp ? tcp : udp)) != 0;
  if (!with_ports && (options_.types & ip) == 0) return 0;
  // Source and destination address, source and destination port, as they stand in the packet.
  std::array<uint8_t, 36> input;
  const size_t addresses = four ? 8 : 32;
  std::memcpy(input.data(), frame + headers.network_at + (four ? 12 : 8), addresses);
  if (!with_ports) return toeplitz_.hash({input.data(), addresses});
  std::memcpy(input.data() + addresses, frame + headers.transport_at, 4);
  return toeplitz_.hash({input.data(), addresses + 4});
}

}  // namespace xnic::nic::datapath
