// SPDX-License-Identifier: Apache-2.0
// The mapping that a peer of a memory port has of its region, for tests that write what they like there.
#pragma once

#include <cstdint>
#include <fstream>
#include <span>
#include <sstream>
#include <string>

#include "nic/port/memory_peer.hpp"

namespace xnic::nic::port {

inline std::span<uint8_t> region_of(MemoryPeer& peer) {
  const auto inside = reinterpret_cast<uintptr_t>(peer.next_buffer(0));
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream(line) >> std::hex >> begin >> dash >> end;
    if (begin <= inside && inside < end) return {reinterpret_cast<uint8_t*>(begin), end - begin};
  }
  return {};
}

}  // namespace xnic::nic::port
