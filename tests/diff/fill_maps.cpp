// SPDX-License-Identifier: Apache-2.0
// A key is cut from a frame where programs look (Ethernet, untagged IPv4 or IPv6, ports), padded with zeroes to the
// key's size. LRU maps are filled to a quarter at most: what they evict is not compared, so nothing shall be evicted.
#include "fill_maps.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/bytes.hpp"
#include "base/check.hpp"

namespace xnic::tests {
namespace {

using exec::maps::Map;
using Frames = std::span<const std::vector<uint8_t>>;

constexpr uint32_t kEntriesAtMost = 64;
constexpr uint32_t kArrayEntriesAtMost = 256;

struct Field {
  size_t offset;
  size_t bytes;
};
constexpr Field kMacDestination{0, 6}, kMacSource{6, 6}, kProtocol{23, 1}, kSource4{26, 4}, kDestination4{30, 4},
    kSource6{22, 16}, kDestination6{38, 16}, kSourcePort{34, 2}, kDestinationPort{36, 2}, kSourcePort6{54, 2},
    kDestinationPort6{56, 2}, kNextHeader{20, 1};

class Filler {
 public:
  Filler(const std::shared_ptr<const exec::LoadedProgram>& program, Frames frames, uint64_t seed)
      : program_(program), frames_(frames), rng_(seed) {}
  void fill(Map& map);

 private:
  void append(std::vector<uint8_t>& key, const std::vector<uint8_t>& frame, Field field, bool turned = false);
  std::vector<uint8_t> key(uint32_t bytes);
  std::vector<uint8_t> fields_key(uint32_t bytes);
  std::vector<uint8_t> trie_key(uint32_t bytes);
  std::vector<uint8_t> value(const Map& map);
  void fill_programs(Map& map);
  void fill_inner_maps(Map& map);
  void fill_targets(Map& map);

  const std::shared_ptr<const exec::LoadedProgram>& program_;
  Frames frames_;
  base::Rng rng_;
};

void Filler::append(std::vector<uint8_t>& key, const std::vector<uint8_t>& frame, Field field, bool turned) {
  if (frame.size() < field.offset + field.bytes) return;
  const auto at = frame.begin() + std::ptrdiff_t(field.offset);
  key.insert(key.end(), at, at + std::ptrdiff_t(field.bytes));
  if (turned) std::reverse(key.end() - std::ptrdiff_t(field.bytes), key.end());
}

std::vector<uint8_t> Filler::fields_key(uint32_t bytes) {
  const std::vector<uint8_t>& frame = frames_[rng_.below(frames_.size())];
  const bool six = frame.size() > 13 && frame[12] == 0x86 && frame[13] == 0xdd;
  const Field source = six ? kSource6 : kSource4, destination = six ? kDestination6 : kDestination4;
  const Field source_port = six ? kSourcePort6 : kSourcePort;
  const Field destination_port = six ? kDestinationPort6 : kDestinationPort;
  const Field protocol = six ? kNextHeader : kProtocol;
  const bool turned = rng_.chance(1, 3);  // host byte order
  std::vector<uint8_t> key;
  if (bytes == 1) append(key, frame, protocol);
  if (bytes == 2) append(key, frame, rng_.chance(1, 2) ? source_port : destination_port, turned);
  if (bytes == 6) append(key, frame, rng_.chance(1, 2) ? kMacSource : kMacDestination);
  if (bytes == 4 && rng_.chance(1, 2)) append(key, frame, rng_.chance(1, 2) ? source_port : destination_port, turned);
  if (bytes == 16 && six) append(key, frame, rng_.chance(1, 2) ? source : destination);
  if (key.empty() && (bytes <= 8 || rng_.chance(1, 4))) append(key, frame, rng_.chance(1, 2) ? source : destination);
  if (!key.empty()) return key;
  switch (rng_.below(3)) {
    case 0:  // struct { source, destination, ports, protocol }
      for (Field field : {source, destination, source_port, destination_port, protocol}) append(key, frame, field);
      break;
    case 1:  // struct { destination, port, protocol }: a service
      append(key, frame, destination);
      if (!six && bytes >= 20) key.resize(16);  // a union with IPv6
      append(key, frame, destination_port);
      append(key, frame, protocol);
      break;
    default:  // both addresses as unions with IPv6
      append(key, frame, source);
      key.resize(16);
      append(key, frame, destination);
      key.resize(32);
      for (Field field : {source_port, destination_port, protocol}) append(key, frame, field);
  }
  return key;
}

std::vector<uint8_t> Filler::key(uint32_t bytes) {
  std::vector<uint8_t> key;
  if (rng_.chance(1, 4)) {
    key.push_back(uint8_t(rng_.below(20)));
  } else {
    key = fields_key(bytes);
  }
  key.resize(bytes);
  return key;
}

std::vector<uint8_t> Filler::trie_key(uint32_t bytes) {
  std::vector<uint8_t> address = fields_key(bytes - 4);
  address.resize(bytes - 4);
  const uint32_t bits = 8 * uint32_t(address.size());
  const auto prefix = uint32_t(rng_.chance(1, 2) ? bits : rng_.below(bits + 1));
  std::vector<uint8_t> key(4);
  base::store(key.data(), prefix);
  key.insert(key.end(), address.begin(), address.end());
  return key;
}

std::vector<uint8_t> Filler::value(const Map& map) {
  const uint32_t size = map.spec().value_size;
  std::vector<uint8_t> one(size);
  const uint64_t kind = rng_.below(4);
  for (uint32_t i = 0; i < size; ++i) {
    if (kind == 0) one[i] = uint8_t(rng_.chance(1, 2) ? rng_.next() : 0);
    if (kind == 1 && i % 4 == 0) one[i] = uint8_t(rng_.below(4));
    if (kind == 2 && i % 8 == 0) one[i] = uint8_t(rng_.next());
  }
  const auto clear = [&](int32_t offset, size_t bytes) {
    if (offset >= 0) std::fill_n(one.begin() + offset, std::min<size_t>(bytes, size - size_t(offset)), uint8_t{0});
  };
  clear(map.spec().spin_lock_offset, 4);
  clear(map.spec().timer_offset, 16);
  if (!arch::ebpf::is_percpu(map.spec().type)) return one;
  std::vector<uint8_t> all(map.host_value_bytes());
  const size_t stride = all.size() / map.cpus();
  for (uint32_t cpu = 0; cpu < map.cpus(); ++cpu)
    std::copy(one.begin(), one.end(), all.begin() + std::ptrdiff_t(cpu * stride));
  return all;
}

void Filler::fill_programs(Map& map) {
  for (uint32_t at = 0; at < std::min<uint32_t>(map.spec().max_entries, 4); ++at) {
    if (rng_.chance(1, 2)) map.host_update_reference(&at, {.program = program_, .map = {}, .events = {}}, &at, 0);
  }
}

void Filler::fill_inner_maps(Map& map) {
  if (!map.spec().inner) return;
  for (uint32_t i = 0; i < std::min<uint32_t>(map.spec().max_entries, 8); ++i) {
    int error = 0;
    exec::maps::MapOptions options;
    options.cpus = map.cpus();
    auto inner = Map::create(*map.spec().inner, options, error);
    CHECK(inner != nullptr);
    fill(*inner);
    std::vector<uint8_t> at = key(map.spec().key_size);
    if (map.spec().type == arch::ebpf::kMapArrayOfMaps) base::store(at.data(), i);
    const uint32_t id = 1000 + i;
    map.host_update_reference(at.data(), {.program = {}, .map = inner, .events = {}}, &id, 0);
  }
}

// Devmaps: interface 1. Cpumaps: a queue of 64 packets.
void Filler::fill_targets(Map& map) {
  std::vector<uint8_t> target(std::max<uint32_t>(map.spec().value_size, 8));
  base::store(target.data(), map.spec().type == arch::ebpf::kMapCpumap ? 64u : 1u);
  const uint32_t entries = map.spec().type == arch::ebpf::kMapCpumap ? 2 : 8;
  for (uint32_t at = 0; at < std::min(map.spec().max_entries, entries); ++at) {
    if (rng_.chance(2, 3)) map.host_update(&at, target.data(), 0);
  }
}

void Filler::fill(Map& map) {
  const auto& spec = map.spec();
  if (map.frozen() || spec.name.find(".rodata") != std::string::npos || spec.name.find(".data") != std::string::npos ||
      spec.name.find(".bss") != std::string::npos)
    return;
  const bool lru = spec.type == arch::ebpf::kMapLruHash || spec.type == arch::ebpf::kMapLruPercpuHash;
  const uint32_t entries = std::min(kEntriesAtMost, std::max(1u, spec.max_entries / (lru ? 4 : 2)));
  switch (spec.type) {
    case arch::ebpf::kMapArray:
    case arch::ebpf::kMapPercpuArray:
      for (uint32_t at = 0; at < std::min(spec.max_entries, kArrayEntriesAtMost); ++at)
        if (rng_.chance(3, 4)) map.host_update(&at, value(map).data(), 0);
      break;
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapLruHash:
    case arch::ebpf::kMapLruPercpuHash:
      for (uint32_t i = 0; i < entries; ++i) map.host_update(key(spec.key_size).data(), value(map).data(), 0);
      break;
    case arch::ebpf::kMapLpmTrie:
      for (uint32_t i = 0; i < entries; ++i) map.host_update(trie_key(spec.key_size).data(), value(map).data(), 0);
      break;
    case arch::ebpf::kMapQueue:
    case arch::ebpf::kMapStack:
      for (uint32_t i = 0; i < entries; ++i) map.push(value(map).data(), 0);
      break;
    case arch::ebpf::kMapProgArray:
      fill_programs(map);
      break;
    case arch::ebpf::kMapArrayOfMaps:
    case arch::ebpf::kMapHashOfMaps:
      fill_inner_maps(map);
      break;
    case arch::ebpf::kMapDevmap:
    case arch::ebpf::kMapDevmapHash:
    case arch::ebpf::kMapCpumap:
      fill_targets(map);
      break;
    default:
      break;  // ring buffers, events, AF_XDP sockets, bloom filters: empty in the kernel engine, too
  }
}

}  // namespace

void fill_maps(const std::shared_ptr<const exec::LoadedProgram>& program, Frames frames, uint64_t seed) {
  Filler filler(program, frames, seed);
  for (const auto& map : program->maps) filler.fill(*map);
}

}  // namespace xnic::tests
