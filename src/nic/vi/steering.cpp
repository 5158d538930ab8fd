// SPDX-License-Identifier: Apache-2.0
// Filters are tried one after the other, from exact to wildcard: a port has few of them, and a flow is looked up once.
// Spreading over a set is part of the decision, since the hash is of the flow.
#include "nic/vi/steering.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::nic::vi {
namespace {

bool is_group(const uint8_t* frame) { return (frame[0] & 1) != 0; }

bool counts(const Filter& filter, Face face) {
  switch (face) {
    case Face::kWire:
      return filter.kind != FilterKind::kTransmitSniff;
    case Face::kLoopback:
      return filter.loopback && filter.kind != FilterKind::kTransmitSniff;
    case Face::kOutgoing:
      return filter.kind == FilterKind::kTransmitSniff;
  }
  return false;
}

// A filter that names a group shares its frames with the kernel.
bool names_group(const Filter& filter) {
  switch (filter.kind) {
    case FilterKind::kIpFull:
    case FilterKind::kIpLocal:
      return filter.version == 4 ? filter.local[0] >> 4 == 14 : filter.local[0] == 0xff;
    case FilterKind::kMac:
      return (filter.mac[0] & 1) != 0;
    default:
      return false;
  }
}

// Less is more exact: first by kind, then a filter that also names a VLAN or a protocol.
uint32_t precedence(const Filter& filter) {
  const bool any_protocol = filter.ether_type == 0 && filter.ip_protocol == 0;
  return static_cast<uint32_t>(filter.kind) * 4 + (filter.vlan == kAnyVlan ? 2 : 0) + (any_protocol ? 1 : 0);
}

bool is_mismatch(FilterKind kind) {
  return kind == FilterKind::kUnicastMismatch || kind == FilterKind::kMulticastMismatch;
}

}  // namespace

Steering::Steering(CardView card, uint32_t port, Face face)
    : card_(card), port_(&card.header().ports[port]), face_(face), rss_(datapath::RssOptions{}) {}

void Steering::reload() {
  std::vector<Filter> all(kMaxFilters);
  uint32_t count, groups, generation;
  do {
    while (((generation = port_->generation.load(std::memory_order_acquire)) & 1) != 0) {
    }
    count = std::min(port_->filter_count, kMaxFilters);
    std::memcpy(all.data(), port_->filters, count * sizeof(Filter));
    groups = std::min(port_->group_count, kKernelGroups);
    groups_.resize(groups);
    std::memcpy(groups_.data(), port_->groups, groups * 6);
    std::atomic_thread_fence(std::memory_order_acquire);
  } while (port_->generation.load(std::memory_order_relaxed) != generation);
  filters_.clear();
  for (uint32_t i = 0; i < count; ++i)
    if (counts(all[i], face_)) filters_.push_back(all[i]);
  std::ranges::stable_sort(filters_, {}, precedence);
  for (Flow& flow : flows_) flow.words = 0;
  generation_ = generation;
}

bool Steering::matches(const Filter& filter, const uint8_t* frame, const datapath::Headers& headers) const {
  if (filter.vlan != kAnyVlan && filter.vlan != headers.vlan) return false;
  const bool group = is_group(frame);
  switch (filter.kind) {
    case FilterKind::kIpFull:
    case FilterKind::kIpLocal: {
      if (!headers.ports || headers.version != filter.version || headers.protocol != filter.ip_protocol) return false;
      const size_t bytes = filter.version == 4 ? 4 : 16;
      const uint8_t* source = frame + headers.network_at + (filter.version == 4 ? 12 : 8);
      const uint8_t* ports = frame + headers.transport_at;
      if (std::memcmp(source + bytes, filter.local.data(), bytes) != 0 || std::memcmp(ports + 2, &filter.local_port, 2))
        return false;
      return filter.kind == FilterKind::kIpLocal ||
             (std::memcmp(source, filter.remote.data(), bytes) == 0 && std::memcmp(ports, &filter.remote_port, 2) == 0);
    }
    case FilterKind::kMac:
      if (std::memcmp(frame, filter.mac.data(), 6) != 0) return false;
      [[fallthrough]];
    case FilterKind::kProtocol:
      if (filter.ether_type != 0 && filter.ether_type != headers.ether_type) return false;
      return filter.ip_protocol == 0 || (headers.version != 0 && filter.ip_protocol == headers.protocol);
    case FilterKind::kUnicastAll:
    case FilterKind::kUnicastMismatch:
      return !group;
    case FilterKind::kMulticastAll:
    case FilterKind::kMulticastMismatch:
      return group;
    case FilterKind::kTransmitSniff:
      return true;
    default:
      return false;
  }
}

bool Steering::kernel_wants(const uint8_t* frame) const {
  if (port_->kernel_side == 0) return false;
  static constexpr std::array<uint8_t, 6> kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  if (std::memcmp(frame, port_->mac, 6) == 0 || std::memcmp(frame, kBroadcast.data(), 6) == 0) return true;
  return std::ranges::any_of(groups_, [&](const auto& group) { return std::memcmp(frame, group.data(), 6) == 0; });
}

void Steering::add(const Filter& filter, const uint8_t* frame, Decision& decision) const {
  uint32_t interface = filter.interface;
  if (filter.set != kNone) {
    const Set& set = card_.header().sets[filter.set];
    if (set.live == 0 || set.size == 0) return;
    interface = set.members[rss_.hash(frame, decision.headers) % datapath::kRssTableEntries % set.size];
  }
  if (interface == kNone || decision.count == Decision::kMaxTargets) return;
  for (uint32_t i = 0; i < decision.count; ++i)
    if (decision.targets[i].interface == interface) return;
  const uint32_t generation = card_.header().interfaces[interface].generation.load(std::memory_order_acquire);
  decision.targets[decision.count++] = {interface, generation, static_cast<uint16_t>(filter.id)};
}

void Steering::look_up(const uint8_t* frame, Decision& decision) const {
  bool taken = false, matched = false, blocked = false;
  bool claimed = false;  // by a filter that is no mismatch
  // filters_ goes from exact to wildcard, mismatches behind all that could match.
  for (const Filter& filter : filters_) {
    const FilterKind kind = filter.kind;
    if (kind == FilterKind::kBlockKernel || (kind == FilterKind::kBlockKernelUnicast && !decision.group) ||
        (kind == FilterKind::kBlockKernelMulticast && decision.group))
      blocked = true;
    if (matched && !decision.group) continue;
    if (!matches(filter, frame, decision.headers)) continue;
    if (is_mismatch(kind) && (claimed || kernel_wants(frame))) continue;
    add(filter, frame, decision);
    matched = true;
    claimed |= !is_mismatch(kind);
    taken |= !names_group(filter);
  }
  const bool wanted = matched || kernel_wants(frame);
  for (const Filter& filter : filters_)
    if (filter.kind == FilterKind::kSniff && (filter.promiscuous || wanted)) add(filter, frame, decision);
  decision.kernel = face_ == Face::kWire && port_->kernel_side != 0 && !taken && !blocked;
}

void Steering::remember(const uint8_t* frame, uint32_t size, Flow& flow) const {
  const datapath::Headers& headers = flow.decision.headers;
  std::array<uint8_t, kWords * 8> mask{};
  const auto look_at = [&](uint32_t from, uint32_t bytes) {
    std::memset(&mask[from], 0xff, bytes);
    return from + bytes;
  };
  look_at(0, 6);
  uint32_t end = headers.network_at;
  const bool ip_type = headers.ether_type == 0x0800 || headers.ether_type == 0x86dd;
  if (end == 0 || (ip_type && (headers.version == 0 || headers.transport_at == 0))) return;  // cut off
  look_at(12, end - 12);
  if (headers.version != 0) {
    const bool tcp_or_udp = headers.protocol == 6 || headers.protocol == 17;
    if (tcp_or_udp && !headers.fragment && !headers.ports) return;
    if (headers.version == 6 && headers.transport_at != end + 40) return;  // extension headers
    end = headers.transport_at + (headers.ports ? 4u : 0);
    if (end > mask.size()) return;
    const uint32_t ip = headers.network_at;
    look_at(ip, 1);
    if (headers.version == 4) {
      look_at(ip + 6, 2);
      look_at(ip + 9, 1);
      look_at(ip + 12, 8);
    } else {
      look_at(ip + 6, 1);
      look_at(ip + 8, 32);
    }
    if (headers.ports) look_at(headers.transport_at, 4);
  }
  const uint32_t words = (end + 7) / 8;
  if (words * 8 > size || words > kWords) return;
  for (uint32_t i = 0; i < words; ++i) {
    uint64_t word;
    std::memcpy(&flow.mask[i], &mask[8 * i], 8);
    std::memcpy(&word, frame + 8 * i, 8);
    flow.value[i] = word & flow.mask[i];
  }
  flow.words = words;
}

const Decision& Steering::decide_anew(const uint8_t* frame, uint32_t size, Flow& flow) {
  flow.words = 0;
  flow.decision.headers = datapath::read_headers(base::Bytes(frame, std::min(size, 128u)));
  flow.decision.group = is_group(frame);
  flow.decision.count = 0;
  look_up(frame, flow.decision);
  remember(frame, size, flow);
  return flow.decision;
}

}  // namespace xnic::nic::vi
