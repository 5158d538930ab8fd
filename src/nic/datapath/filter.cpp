// SPDX-License-Identifier: Apache-2.0
// Tuple space search: filters with the same set of fields share a hash table, and a packet is looked up once in each
// table, from the most exact set to the least. There are few sets in use, however many filters there are.
#include "nic/datapath/filter.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/bytes.hpp"

namespace xnic::nic::datapath {
namespace {

// Where each field lies in a key's bytes.
enum Offset : size_t {
  kSourceIpAt = 0,
  kDestinationIpAt = 16,
  kDestinationMacAt = 32,
  kSourceMacAt = 38,
  kEtherTypeAt = 44,
  kVlanAt = 46,
  kSourcePortAt = 48,
  kDestinationPortAt = 50,
  kProtocolAt = 52,
  kVersionAt = 53,
  kMulticastAt = 54,
  kOwnAddressAt = 55,
};
struct Place {
  uint16_t field;
  size_t at, bytes;
};
// A key says with its version which kind of address it has; whoever looks at addresses looks at that too.
constexpr Place kPlaces[] = {
    {kMatchVlan, kVlanAt, 2},
    {kMatchMulticast, kMulticastAt, 1},
    {kMatchOwnAddress, kOwnAddressAt, 1},
    {kMatchEtherType, kEtherTypeAt, 2},
    {kMatchProtocol, kProtocolAt, 1},
    {kMatchSourceMac, kSourceMacAt, 6},
    {kMatchDestinationMac, kDestinationMacAt, 6},
    {kMatchDestinationPort, kDestinationPortAt, 2},
    {kMatchDestinationIp, kDestinationIpAt, 16},
    {kMatchSourcePort, kSourcePortAt, 2},
    {kMatchSourceIp, kSourceIpAt, 16},
    {kMatchDestinationIp, kVersionAt, 1},
    {kMatchSourceIp, kVersionAt, 1},
};
constexpr uint16_t kPortFields = kMatchSourcePort | kMatchDestinationPort;

uint64_t hash_of(const std::array<uint64_t, 7>& key) {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const uint64_t word : key) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  }
  return hash;
}

base::Result<void> check(const Filter& filter) {
  constexpr auto kBad = base::ErrorKind::kBadInput;
  const Match& match = filter.match;
  if ((match.fields & kPortFields) != 0 && (match.fields & kMatchProtocol) == 0)
    return base::make_error(kBad, "filter", "ports without a protocol: name tcp or udp");
  if (match.version != 4 && match.version != 6)
    return base::make_error(kBad, "filter", "IP version {}: it is 4 or 6", match.version);
  if (filter.mode != FilterMode::kSteal && filter.destination.kind != DestinationKind::kPort)
    return base::make_error(kBad, "filter", "a copy goes to a port, not to a queue or away");
  return {};
}

}  // namespace

FilterTable::Key FilterTable::mask_of(uint16_t fields) {
  Key mask{};
  auto* bytes = reinterpret_cast<uint8_t*>(mask.data());
  for (const Place& place : kPlaces)
    if ((fields & place.field) != 0) std::memset(bytes + place.at, 0xff, place.bytes);
  return mask;
}

FilterTable::Key FilterTable::key_of(const Match& match) {
  Key key{};
  auto* bytes = reinterpret_cast<uint8_t*>(key.data());
  std::memcpy(bytes + kSourceIpAt, match.source_ip.data(), match.version == 4 ? 4 : 16);
  std::memcpy(bytes + kDestinationIpAt, match.destination_ip.data(), match.version == 4 ? 4 : 16);
  std::memcpy(bytes + kDestinationMacAt, match.destination_mac.data(), 6);
  std::memcpy(bytes + kSourceMacAt, match.source_mac.data(), 6);
  base::store(bytes + kEtherTypeAt, match.ether_type);
  base::store(bytes + kVlanAt, match.vlan);
  base::store_be(bytes + kSourcePortAt, match.source_port);
  base::store_be(bytes + kDestinationPortAt, match.destination_port);
  bytes[kProtocolAt] = match.protocol;
  bytes[kVersionAt] = match.version;
  bytes[kMulticastAt] = match.multicast;
  bytes[kOwnAddressAt] = match.own_address;
  return key;
}

FilterTable::Key FilterTable::key_of(const exec::packet::Packet& packet, const Headers& headers,
                                     const port::MacAddress& own) {
  Key key{};
  auto* bytes = reinterpret_cast<uint8_t*>(key.data());
  const uint8_t* frame = packet.data;
  if (headers.version == 4) {
    std::memcpy(bytes + kSourceIpAt, frame + headers.network_at + 12, 4);
    std::memcpy(bytes + kDestinationIpAt, frame + headers.network_at + 16, 4);
  } else if (headers.version == 6) {
    std::memcpy(bytes + kSourceIpAt, frame + headers.network_at + 8, 32);
  }
  std::memcpy(bytes + kDestinationMacAt, frame, 12);  // and the source's
  base::store(bytes + kEtherTypeAt, headers.ether_type);
  base::store(bytes + kVlanAt, headers.vlan);
  if (headers.ports) std::memcpy(bytes + kSourcePortAt, frame + headers.transport_at, 4);
  bytes[kProtocolAt] = headers.protocol;
  bytes[kVersionAt] = headers.version;
  bytes[kMulticastAt] = frame[0] & 1;
  bytes[kOwnAddressAt] = std::memcmp(frame, own.data(), 6) == 0;
  return key;
}

base::Result<std::shared_ptr<const FilterTable>> FilterTable::make(std::vector<Filter> filters) {
  std::map<std::pair<uint16_t, Key>, size_t> stolen;
  for (size_t i = 0; i < filters.size(); ++i) {
    XNIC_TRY(check(filters[i]));
    if (filters[i].mode != FilterMode::kSteal) continue;
    Key key = key_of(filters[i].match);
    const Key mask = mask_of(filters[i].match.fields);
    for (size_t word = 0; word < key.size(); ++word) key[word] &= mask[word];
    const auto [other, is_new] = stolen.try_emplace({filters[i].match.fields, key}, i);
    if (!is_new)
      return base::make_error(base::ErrorKind::kBadInput, "filter", "filters {} and {} both steal the same packets",
                              other->second, i);
  }
  std::shared_ptr<FilterTable> table(new FilterTable());
  table->filters_ = std::move(filters);
  table->build();
  return table;
}

void FilterTable::build() {
  std::map<uint16_t, std::map<Key, std::vector<uint32_t>>, std::greater<>> spaces;
  for (uint32_t i = 0; i < filters_.size(); ++i) {
    const uint16_t fields = filters_[i].match.fields;
    Key key = key_of(filters_[i].match);
    const Key mask = mask_of(fields);
    for (size_t word = 0; word < key.size(); ++word) key[word] &= mask[word];
    spaces[fields][key].push_back(i);
  }
  for (const auto& [fields, keys] : spaces) {
    size_t slots = 2;
    while (slots < keys.size() * 2) slots *= 2;
    Space space{fields, mask_of(fields), std::vector<Slot>(slots)};
    for (const auto& [key, indexes] : keys) {
      size_t at = hash_of(key) & (slots - 1);
      while (space.slots[at].first != 0) at = (at + 1) & (slots - 1);
      space.slots[at] = {key, static_cast<uint32_t>(order_.size() + 1), static_cast<uint32_t>(indexes.size())};
      order_.insert(order_.end(), indexes.begin(), indexes.end());
    }
    spaces_.push_back(std::move(space));
  }
}

const FilterTable::Slot* FilterTable::find(const Space& space, const Key& key) {
  Key masked;
  for (size_t word = 0; word < key.size(); ++word) masked[word] = key[word] & space.mask[word];
  const size_t last = space.slots.size() - 1;
  for (size_t at = hash_of(masked) & last; space.slots[at].first != 0; at = (at + 1) & last)
    if (space.slots[at].key == masked) return &space.slots[at];
  return nullptr;
}

void FilterTable::decide(const exec::packet::Packet& packet, const Headers& headers, const port::MacAddress& own,
                         Decision& decision) const {
  decision.taken = nullptr;
  decision.copy_count = 0;
  const Key key = key_of(packet, headers, own);
  for (const Space& space : spaces_) {
    if ((space.fields & kPortFields) != 0 && !headers.ports) continue;
    const Slot* slot = find(space, key);
    if (slot == nullptr) continue;
    const bool stolen_before = decision.taken != nullptr;
    for (uint32_t i = 0; i < slot->count; ++i) {
      const Filter& filter = filters_[order_[slot->first - 1 + i]];
      if (filter.mode != FilterMode::kSniff && stolen_before) continue;
      if (filter.mode == FilterMode::kSteal)
        decision.taken = &filter;
      else if (decision.copy_count < kMaxCopies)
        decision.copies[decision.copy_count++] = &filter;
    }
  }
}

}  // namespace xnic::nic::datapath
