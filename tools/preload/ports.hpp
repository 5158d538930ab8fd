// SPDX-License-Identifier: Apache-2.0
// The card's ports as this process's interfaces.
#pragma once

#include "preload/card.hpp"

namespace xnic::preload {

inline constexpr size_t kMaxPorts = 64;

struct Ports {
  size_t count = 0;
  device::remote::PortRecord records[kMaxPorts];

  // None when the daemon cannot be asked.
  void read();
  const device::remote::PortRecord* by_index(uint32_t ifindex) const;
  const device::remote::PortRecord* by_name(const char* name) const;
};

// Of this process's network namespace, as the daemon knows namespaces.
uint64_t network_namespace();

}  // namespace xnic::preload
