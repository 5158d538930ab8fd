// SPDX-License-Identifier: Apache-2.0
// Longest-prefix-match trie. Key: {u32 prefix length in bits, host byte order} then the address bytes, first byte
// first.
//
// A path-compressed binary trie, the same shape as the kernel's (kernel/bpf/lpm_trie.c), so that iteration (post-order:
// longer prefixes first) gives the kernel's order. A node covers all addresses that share its first `prefix` bits; its
// children go on with bit 0 or 1 after them. Intermediate nodes hold no value and always have two children.
//
// Node layout: +0 child[0] u32, +4 child[1] u32 (node numbers, 0: none), +8 prefix u32 (bit 31: intermediate),
// +12 next free u32, +16 address bytes padded with zeros to 8, then the value. Node numbers count from 1.
//
// Writers take one lock. Readers take none: they walk at most one node a bit, and look again if the version changed
// meanwhile, since a node may have been reused; after a few attempts they take the lock.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bytes.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

class LpmTrieMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  void* lookup(const void* key, uint32_t cpu) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  bool owns(const void* address, uint64_t bytes) const override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return entries_.load(std::memory_order_relaxed); }

  using Link = std::atomic<uint32_t>;
  // All that a look-up needs to know of a trie; constants to native code.
  struct Parts {
    uint8_t* nodes;
    const Link* root;
    const std::atomic<uint32_t>* version;
    uint64_t stride;
    uint32_t address_bytes;
  };
  Parts parts() const { return {nodes_.data(), &root_, &version_, stride_, address_bytes_}; }
  // lookup() by a trie's parts; `busy` when writers changed it too often to tell. Lock-free.
  static uint8_t* find_in(const Parts& parts, const void* key, bool& busy) {
    constexpr int kAttempts = 8;
    uint32_t prefix = base::load<uint32_t>(key);
    auto* address = static_cast<const uint8_t*>(key) + 4;
    busy = false;
    if (prefix > parts.address_bytes * 8) return nullptr;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      uint32_t before = parts.version->load(std::memory_order_acquire);
      uint8_t* found = walk(parts, address, prefix);
      if ((before & 1) == 0 && parts.version->load(std::memory_order_acquire) == before) return found;
    }
    busy = true;
    return nullptr;
  }

 private:
  static constexpr uint32_t kIntermediate = 1u << 31;
  struct Node {
    std::atomic<uint32_t> child[2];
    std::atomic<uint32_t> prefix;
    uint32_t free;
    uint8_t* address() { return reinterpret_cast<uint8_t*>(this + 1); }
    const uint8_t* address() const { return reinterpret_cast<const uint8_t*>(this + 1); }
  };
  static_assert(sizeof(Node) == 16);
  // Where a key leads: the link to `node` (0 if the link is empty), and how many bits of node and key agree.
  struct Place {
    Link* link;
    Link* parent_link;  // link to `parent`; null at the root
    uint32_t parent;
    uint32_t node;
    uint32_t agree;
  };

  LpmTrieMap(const arch::ebpf::MapSpec& spec, const MapOptions& options);
  Node& at(uint32_t number) const { return *reinterpret_cast<Node*>(nodes_.data() + uint64_t{number - 1} * stride_); }
  uint8_t* value(Node& node) const { return reinterpret_cast<uint8_t*>(&node) + value_offset_; }
  static uint32_t prefix_of(uint32_t word) { return word & ~kIntermediate; }
  static bool holds_value(uint32_t word) { return (word & kIntermediate) == 0; }
  static uint32_t bit_at(const uint8_t* address, uint32_t bit) { return address[bit / 8] >> (7 - bit % 8) & 1; }
  // Number of leading bits that node and key share, at most the shorter of both prefixes.
  static uint32_t agreement(uint32_t address_bytes, const Node& node, const uint8_t* address, uint32_t prefix) {
    uint32_t limit = std::min(prefix_of(node.prefix.load(std::memory_order_relaxed)), prefix);
    auto* words = reinterpret_cast<const uint64_t*>(node.address());
    for (uint32_t byte = 0; byte * 8 < limit; byte += 8) {
      uint64_t theirs = 0;
      if (address_bytes - byte >= 8)
        theirs = base::load<uint64_t>(address + byte);
      else
        std::memcpy(&theirs, address + byte, address_bytes - byte);
      uint64_t differ = base::from_be(__atomic_load_n(words + byte / 8, __ATOMIC_RELAXED) ^ theirs);
      if (differ != 0) return std::min(limit, byte * 8 + static_cast<uint32_t>(std::countl_zero(differ)));
    }
    return limit;
  }
  // One walk without regard for writers: at most one step a bit, always within the slab.
  static uint8_t* walk(const Parts& parts, const uint8_t* address, uint32_t prefix) {
    const uint32_t max_prefix = parts.address_bytes * 8;
    const uint64_t value_offset = sizeof(Node) + round_up(parts.address_bytes, 8);
    uint8_t* best = nullptr;
    uint32_t number = parts.root->load(std::memory_order_acquire);
    for (uint32_t step = 0; number != 0 && step <= max_prefix; ++step) {
      auto& node = *reinterpret_cast<Node*>(parts.nodes + uint64_t{number - 1} * parts.stride);
      uint32_t word = node.prefix.load(std::memory_order_relaxed);
      if (agreement(parts.address_bytes, node, address, prefix) < prefix_of(word)) break;
      if (holds_value(word)) best = reinterpret_cast<uint8_t*>(&node) + value_offset;
      if (prefix_of(word) >= max_prefix) break;
      number = node.child[bit_at(address, prefix_of(word))].load(std::memory_order_acquire);
    }
    return best;
  }
  uint32_t agreement(const Node& node, const uint8_t* address, uint32_t prefix) const {
    return agreement(address_bytes_, node, address, prefix);
  }
  Place find_place(const uint8_t* address, uint32_t prefix);
  uint32_t make_node(const uint8_t* address, uint32_t prefix_and_kind);
  void free_node(uint32_t number);
  void insert(const Place& place, uint32_t fresh, const uint8_t* address, uint32_t prefix);
  void remove(const Place& place);
  int check_room(uint64_t flags) const;
  uint32_t leftmost(uint32_t from) const;
  uint32_t successor(const uint8_t* address, uint32_t prefix);
  void begin_write();
  void end_write();

  ValueCopier copier_;
  uint32_t address_bytes_;
  uint32_t max_prefix_;
  uint32_t value_offset_;
  uint64_t stride_;
  uint32_t capacity_ = 0;  // nodes
  Memory nodes_;
  Link root_{0};
  uint32_t fresh_ = 1;  // nodes from this number on were never used; under the lock
  // Queue of freed nodes, under the lock. The node freed first is used again first, and only when no fresh one is left:
  // a program that holds a value while it replaces the key then still sees the old value, as in the kernel, which waits
  // for an RCU period.
  uint32_t oldest_free_ = 0;
  uint32_t newest_free_ = 0;
  std::atomic<uint32_t> entries_{0};
  mutable std::atomic<uint32_t> version_{0};  // odd while a writer is at work
};

}  // namespace xnic::exec::maps
