// SPDX-License-Identifier: Apache-2.0
// The ports' filters. Frames for one station can have one taker: an equal filter of anybody is refused. Groups may have
// many.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "nic/vi/service/state.hpp"

namespace xnic::nic::vi {
namespace {

bool same_match(const Filter& a, const Filter& b) {
  return a.kind == b.kind && a.version == b.version && a.ip_protocol == b.ip_protocol && a.ether_type == b.ether_type &&
         a.vlan == b.vlan && a.local_port == b.local_port && a.remote_port == b.remote_port && a.mac == b.mac &&
         a.local == b.local && a.remote == b.remote && a.promiscuous == b.promiscuous;
}

// Several may have it: for groups, and what only copies or blocks.
bool shared(const Filter& filter) {
  switch (filter.kind) {
    case FilterKind::kIpFull:
    case FilterKind::kIpLocal:
      return filter.version == 4 ? filter.local[0] >> 4 == 14 : filter.local[0] == 0xff;
    case FilterKind::kMac:
      return (filter.mac[0] & 1) != 0;
    case FilterKind::kProtocol:
    case FilterKind::kUnicastAll:
    case FilterKind::kUnicastMismatch:
      return false;
    default:
      return true;
  }
}

bool belongs(const Filter& filter, const Request& request) {
  return filter.id == request.c && filter.interface == request.a && filter.set == request.b;
}

}  // namespace

int State::add_filter(const Client& client, Filter filter, Reply& reply) {
  CardHeader& header = card_.header();
  uint32_t port;
  if (filter.set != kNone) {
    if (filter.set >= kMaxSets || set_owner_[filter.set] != client.number) return -EINVAL;
    port = header.domains[set_domain_[filter.set]].port;
    filter.interface = kNone;
  } else {
    if (!owns(client, filter.interface)) return -EINVAL;
    const Interface& interface = header.interfaces[filter.interface];
    port = interface.port;
    if (interface.rx_entries == 0 && filter.kind < FilterKind::kBlockKernel) return -EINVAL;
    if (filter.queue == kNone) filter.queue = interface.queue;
  }
  if (filter.kind == FilterKind::kNone || filter.kind > FilterKind::kBlockKernelMulticast) return -EINVAL;
  std::vector<Filter>& filters = filters_[port];
  if (filters.size() == kMaxFilters) return -ENOSPC;
  for (const Filter& other : filters) {
    const bool same_owner = other.interface == filter.interface && other.set == filter.set;
    if (same_match(filter, other) && (same_owner || !shared(filter))) return -EEXIST;
    if (!same_owner && filter.set == kNone && other.set == kNone && other.queue == filter.queue &&
        (filter.exclusive || other.exclusive))
      return -EBUSY;
  }
  filter.id = 0;
  while (std::ranges::find(filters, filter.id, &Filter::id) != filters.end()) ++filter.id;
  filters.push_back(filter);
  if (filter.kind == FilterKind::kMulticastMismatch) refresh_groups();
  publish(port);
  reply.a = filter.id;
  return 0;
}

int State::drop_filter(const Client& client, const Request& request) {
  const bool allowed =
      request.b != kNone ? request.b < kMaxSets && set_owner_[request.b] == client.number : owns(client, request.a);
  if (!allowed) return -EINVAL;
  size_t dropped = 0;
  for (uint32_t port = 0; port < kMaxPorts; ++port) {
    const size_t here = std::erase_if(filters_[port], [&](const Filter& filter) { return belongs(filter, request); });
    if (here != 0) publish(port);
    dropped += here;
  }
  return dropped != 0 ? 0 : -ENOENT;
}

int State::query_filter(const Request& request, Reply& reply) const {
  for (const std::vector<Filter>& filters : filters_)
    for (const Filter& filter : filters)
      if (belongs(filter, request)) return reply.filter = filter, 0;
  return -ENOENT;
}

void State::drop_filters(const std::function<bool(const Filter&)>& which) {
  for (uint32_t port = 0; port < kMaxPorts; ++port)
    if (std::erase_if(filters_[port], which) != 0) publish(port);
}

// Clients copy the table and take it again when the generation has moved meanwhile.
void State::publish(uint32_t number) {
  Port& port = card_.header().ports[number];
  const uint32_t generation = port.generation.load();
  port.generation.store(generation + 1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::ranges::copy(filters_[number], port.filters);
  port.filter_count = static_cast<uint32_t>(filters_[number].size());
  port.generation.store(generation + 2, std::memory_order_release);
}

// /proc/net/dev_mcast: index, name, two counts, address.
void State::refresh_groups() {
  for (uint32_t number = 0; number < kMaxPorts; ++number) {
    Port& port = card_.header().ports[number];
    if (port.live == 0 || port.kernel_side == 0) continue;
    if (std::ranges::find(filters_[number], FilterKind::kMulticastMismatch, &Filter::kind) == filters_[number].end())
      continue;
    uint8_t groups[kKernelGroups][6] = {};
    uint32_t count = 0;
    FILE* const file = std::fopen("/proc/net/dev_mcast", "re");
    if (file == nullptr) return;
    char name[32], address[33];
    while (count < kKernelGroups && std::fscanf(file, "%*u %31s %*u %*u %32s", name, address) == 2) {
      if (std::strcmp(name, port.name) != 0 || std::strlen(address) < 12) continue;
      for (size_t i = 0; i < 6; ++i) {
        const char byte[3] = {address[2 * i], address[2 * i + 1], 0};
        groups[count][i] = static_cast<uint8_t>(std::strtoul(byte, nullptr, 16));
      }
      ++count;
    }
    std::fclose(file);
    if (count == port.group_count && std::memcmp(groups, port.groups, sizeof groups) == 0) continue;
    const uint32_t generation = port.generation.load();
    port.generation.store(generation + 1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    std::memcpy(port.groups, groups, sizeof groups);
    port.group_count = count;
    port.generation.store(generation + 2, std::memory_order_release);
  }
}

}  // namespace xnic::nic::vi
