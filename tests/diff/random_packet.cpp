// SPDX-License-Identifier: Apache-2.0
// A frame is built from headers, then with some probability cut, grown and overwritten in places.
#include "random_packet.hpp"

#include <algorithm>
#include <cstring>

#include "base/bytes.hpp"

namespace xnic::tests {
namespace {

constexpr size_t kMinFrame = exec::packet::kMinFrameBytes;

// Ethernet, perhaps with a VLAN tag, then IPv4 or IPv6 and UDP, TCP or ICMP. Few addresses and ports, so that programs
// see the same ones again.
std::vector<uint8_t> protocol_frame(base::Rng& rng) {
  std::vector<uint8_t> frame(12);
  for (uint8_t& byte : frame) byte = uint8_t(rng.below(4));
  const auto add16 = [&](uint16_t value) {
    frame.push_back(uint8_t(value >> 8));
    frame.push_back(uint8_t(value));
  };
  if (rng.chance(1, 8)) {
    add16(0x8100);
    add16(uint16_t(rng.below(4)));
  }
  constexpr uint8_t kProtocols[] = {17, 6, 1};
  const uint8_t protocol = kProtocols[rng.below(3)];
  if (rng.chance(3, 4)) {
    add16(0x0800);
    const uint8_t header[20] = {
        0x45, 0,   0, uint8_t(28 + rng.below(64)), 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, uint8_t(rng.below(4)),
        192,  168, 0, uint8_t(rng.below(4))};
    frame.insert(frame.end(), header, header + sizeof header);
  } else {
    add16(0x86dd);
    uint8_t header[40] = {0x60, 0, 0, 0, 0, 32, protocol, 64, 0xfe, 0x80};
    header[39] = uint8_t(rng.below(4));
    frame.insert(frame.end(), header, header + sizeof header);
  }
  add16(uint16_t(rng.range(1000, 1003)));
  add16(rng.chance(1, 2) ? 80 : 53);
  for (uint64_t more = rng.below(200); more > 0; --more) frame.push_back(uint8_t(rng.next()));
  return frame;
}

size_t random_size(base::Rng& rng) {
  switch (rng.below(40)) {
    case 0:
      return rng.range(3500, 3540);  // around the linear limit
    case 1:
      return rng.range(3521, 9000);
    case 2:
      return rng.chance(1, 8) ? rng.range(9000, 65535) : rng.range(7600, 7640);
    case 3:
    case 4:
      return kMinFrame + rng.below(8);
    default:
      return rng.range(kMinFrame, 1514);
  }
}

}  // namespace

RandomPacket random_packet(base::Rng& rng) {
  RandomPacket random;
  if (rng.chance(2, 3)) random.frame = protocol_frame(rng);
  if (random.frame.empty() || rng.chance(1, 3)) {
    const size_t had = random.frame.size();
    random.frame.resize(random_size(rng));
    for (size_t i = had; i < random.frame.size(); ++i) random.frame[i] = uint8_t(rng.next());
  }
  for (uint64_t damages = rng.chance(1, 3) ? rng.range(1, 8) : 0; damages > 0; --damages)
    random.frame[rng.below(random.frame.size())] = uint8_t(rng.next());
  random.frame.resize(std::max(random.frame.size(), kMinFrame));
  if (rng.chance(1, 8)) {
    random.metadata.resize(4 * rng.range(1, 8));
    for (uint8_t& byte : random.metadata) byte = uint8_t(rng.next());
  }
  return random;
}

exec::packet::Packet RandomPacket::packet() const {
  exec::packet::Packet packet;
  packet.assign(frame);
  packet.data_meta = packet.data - metadata.size();
  if (!metadata.empty()) std::memcpy(packet.data_meta, metadata.data(), metadata.size());
  return packet;
}

}  // namespace xnic::tests
