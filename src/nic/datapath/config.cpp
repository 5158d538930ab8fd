// SPDX-License-Identifier: Apache-2.0
#include "nic/datapath/config.hpp"

namespace xnic::nic::datapath {

using exec::packet::Packet;

PortState::PortState(std::unique_ptr<port::Port> its_port, PortOptions its_options, uint32_t workers)
    : ifindex(its_port->info().ifindex),
      port(std::move(its_port)),
      options(std::move(its_options)),
      queues(options.rx_queues == 0 ? port->info().queues : options.rx_queues),
      spread(options.rx_queues != 0 && queues > 1),
      lossless(port->info().lossless),
      mac(port->info().mac) {
  const uint32_t transmit_queues = port->info().queues;
  for (uint32_t worker = 0; worker < workers; ++worker) {
    auto side = std::make_unique<Side>(queues);
    // The first queue of this worker; a worker without one goes to the owner of another, the same each time.
    const uint32_t distance = (worker + workers - options.first_worker % workers) % workers;
    side->own_queue = distance < transmit_queues;
    side->queue = distance % transmit_queues;
    side->via = (options.first_worker + side->queue) % workers;
    if (lossless && side->own_queue)
      for (size_t i = 0; i < kBacklog; ++i) side->backlog.push_back(Packet::unbound());
    sides.push_back(std::move(side));
  }
}

void Config::index(uint32_t workers) {
  size_t slots = 4;
  while (slots < ports.size() * 2) slots *= 2;
  by_ifindex.assign(slots, nullptr);
  receive.assign(workers, {});
  for (PortView& port : ports) {
    size_t at = port.state->ifindex * 0x9e3779b1u;
    while (by_ifindex[at & (slots - 1)] != nullptr) ++at;
    by_ifindex[at & (slots - 1)] = &port;
    port.host = 0;
    for (const PortView& side : ports)
      if (side.state->options.side_of == port.state->ifindex && side.state->options.host)
        port.host = side.state->ifindex;
    for (uint32_t queue = 0; queue < port.state->port->info().queues; ++queue)
      receive[(port.state->options.first_worker + queue) % workers].push_back({&port, queue});
  }
}

}  // namespace xnic::nic::datapath
