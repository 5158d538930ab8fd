// SPDX-License-Identifier: Apache-2.0
// Random packets: frames of real protocols, damaged ones, noise, short and jumbo frames.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.hpp"
#include "exec/packet/packet.hpp"

namespace xnic::tests {

struct RandomPacket {
  std::vector<uint8_t> frame;     // 14 bytes and more: the kernel runs none shorter
  std::vector<uint8_t> metadata;  // a multiple of 4 bytes, mostly empty

  exec::packet::Packet packet() const;
};

RandomPacket random_packet(base::Rng& rng);

}  // namespace xnic::tests
