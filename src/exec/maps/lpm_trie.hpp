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

 private:
  struct Node {
    std::atomic<uint32_t> child[2];
    std::atomic<uint32_t> prefix;
    uint32_t free;
    uint8_t* address() { return reinterpret_cast<uint8_t*>(this + 1); }
    const uint8_t* address() const { return reinterpret_cast<const uint8_t*>(this + 1); }
  };
  static_assert(sizeof(Node) == 16);
  using Link = std::atomic<uint32_t>;
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
  uint32_t agreement(const Node& node, const uint8_t* address, uint32_t prefix) const;
  Place find_place(const uint8_t* address, uint32_t prefix);
  uint8_t* walk(const uint8_t* address, uint32_t prefix) const;
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
