// SPDX-License-Identifier: Apache-2.0
// The servers of bench_offload over the offload's host library; the same work as offload_world.hpp's of kernel TCP.
#pragma once

#include <atomic>
#include <string>

#include "offload_world.hpp"

namespace xnic::bench {

// Where the agent is, and the interface of the link; none: shared memory.
struct Way {
  std::string agent, interface;
};
ServerResult offload_echo(const Way& way, uint16_t port, const std::atomic<bool>& measure,
                          const std::atomic<bool>& stop);
ServerResult offload_send(const Way& way, uint16_t port, const std::atomic<bool>& measure,
                          const std::atomic<bool>& stop);

struct IdleResult {
  int connections = 0;
  double bytes_each = 0;  // of the host process's memory
};
// Accepts `wanted` connections and counts what they cost.
IdleResult offload_idle(const Way& way, uint16_t port, int wanted);

}  // namespace xnic::bench
