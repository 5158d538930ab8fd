// SPDX-License-Identifier: Apache-2.0
// Linear searches: the tables are those of one host, set by its operator.
#include "exec/helpers/host_network.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::exec {
namespace {

bool covers(const Route& route, const NetworkAddress& address) {
  const unsigned whole = route.prefix_bits / 8;
  const unsigned rest = route.prefix_bits % 8;
  if (std::memcmp(route.prefix.data(), address.data(), whole) != 0) return false;
  return rest == 0 || ((route.prefix[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

}  // namespace

const HostNetwork& HostNetwork::loopback() {
  static const HostNetwork network = [] {
    HostNetwork only_lo;
    NetworkInterface lo;
    lo.ifindex = 1;
    lo.mtu = 65536;
    only_lo.interfaces.push_back(lo);
    return only_lo;
  }();
  return network;
}

const NetworkInterface* HostNetwork::interface(uint32_t ifindex) const {
  for (const NetworkInterface& candidate : interfaces) {
    if (candidate.ifindex == ifindex) return &candidate;
  }
  return nullptr;
}

const Neighbour* HostNetwork::neighbour(uint32_t ifindex, bool six, const NetworkAddress& address) const {
  for (const Neighbour& candidate : neighbours) {
    if (candidate.ifindex == ifindex && candidate.six == six &&
        std::memcmp(candidate.address.data(), address.data(), six ? 16 : 4) == 0)
      return &candidate;
  }
  return nullptr;
}

const Route* HostNetwork::route(bool six, const NetworkAddress& destination, uint32_t table) const {
  const Route* best = nullptr;
  for (const Route& candidate : routes) {
    if (candidate.six != six || candidate.table != (table == 0 ? 254 : table) || !covers(candidate, destination))
      continue;
    if (best == nullptr || candidate.prefix_bits > best->prefix_bits ||
        (candidate.prefix_bits == best->prefix_bits && candidate.metric < best->metric))
      best = &candidate;
  }
  return best;
}

}  // namespace xnic::exec
