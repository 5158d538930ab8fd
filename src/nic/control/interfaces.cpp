// SPDX-License-Identifier: Apache-2.0
// The ports as other processes see them: interfaces.
#include "nic/control/service.hpp"

namespace xnic::nic::control {

std::vector<door::PortFacts> Service::facts() {
  std::lock_guard lock(mutex_);
  std::vector<door::PortFacts> facts;
  for (const auto& [name, port] : ports_) {
    const port::Info& info = port.port->info();
    const auto* af_xdp = std::get_if<port::AfXdpOptions>(&port.config.options);
    facts.push_back({.ifindex = info.ifindex,
                     .name = name,
                     .mac = info.mac,
                     .mtu = info.mtu,
                     .queues = info.queues,
                     .up = port.port->status().has_value(),
                     .interface = af_xdp != nullptr ? af_xdp->interface : ""});
  }
  return facts;
}

}  // namespace xnic::nic::control
