// SPDX-License-Identifier: Apache-2.0
// Longest-prefix-match trie; structure and concurrency are described in lpm_trie.hpp.
#include "exec/maps/lpm_trie.hpp"

#include <algorithm>
#include <bit>

#include "base/check.hpp"
#include "exec/maps/checks.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

namespace {

constexpr uint32_t kMaxAddressBytes = 256;
constexpr uint64_t kNodeHeaderBytes = 40;  // sizeof(struct lpm_trie_node), part of the kernel's value limit
constexpr uint64_t kResting = 64;          // nodes

}  // namespace

LpmTrieMap::LpmTrieMap(const MapSpec& spec, const MapOptions& options)
    : Map(spec, options),
      copier_(spec),
      address_bytes_(spec.key_size - 4),
      max_prefix_(address_bytes_ * 8),
      value_offset_(static_cast<uint32_t>(sizeof(Node) + round_up(address_bytes_, 8))),
      stride_(value_offset_ + round_up(spec.value_size, 8)) {}

std::shared_ptr<Map> LpmTrieMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  uint32_t unknown = spec.flags & ~(arch::ebpf::kNoPrealloc | arch::ebpf::kNumaNode | kAccessFlags);
  if (spec.max_entries == 0 || (spec.flags & arch::ebpf::kNoPrealloc) == 0 || unknown != 0 ||
      !access_flags_ok(spec.flags) || spec.key_size < 5 || spec.key_size > 4 + kMaxAddressBytes ||
      spec.value_size == 0 || spec.value_size > kKmallocMaxBytes - kMaxAddressBytes - kNodeHeaderBytes) {
    error = -EINVAL;
    return nullptr;
  }
  std::shared_ptr<LpmTrieMap> map(new LpmTrieMap(spec, options));
  // As many intermediate nodes as values at most, one node for the update under way, and some that keep a removed
  // value as it was for that many updates.
  uint64_t capacity = uint64_t{spec.max_entries} * 2 + 1 + kResting;
  map->capacity_ = static_cast<uint32_t>(std::min<uint64_t>(capacity, UINT32_MAX - 1));
  if (capacity <= UINT32_MAX - 1 && map->nodes_.allocate_lazily(capacity * map->stride_)) return map;
  error = -ENOMEM;
  return nullptr;
}

void LpmTrieMap::begin_write() {
  for (uint32_t spins = 0;;) {
    uint32_t version = version_.load(std::memory_order_relaxed);
    if ((version & 1) == 0 && version_.compare_exchange_weak(version, version + 1, std::memory_order_acquire)) return;
    relax(spins);
  }
}

void LpmTrieMap::end_write() {
  version_.store(version_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void* LpmTrieMap::lookup(const void* key, uint32_t) {
  bool busy = false;
  if (uint8_t* found = find_in(parts(), key, busy); !busy) return found;
  begin_write();
  uint8_t* found = walk(parts(), static_cast<const uint8_t*>(key) + 4, base::load<uint32_t>(key));
  end_write();
  return found;
}

LpmTrieMap::Place LpmTrieMap::find_place(const uint8_t* address, uint32_t prefix) {
  Place place{&root_, nullptr, 0, 0, 0};
  while ((place.node = place.link->load(std::memory_order_relaxed)) != 0) {
    Node& node = at(place.node);
    uint32_t own = prefix_of(node.prefix.load(std::memory_order_relaxed));
    place.agree = agreement(node, address, prefix);
    if (place.agree != own || own == prefix) break;
    place.parent_link = place.link;
    place.parent = place.node;
    place.link = &node.child[bit_at(address, own)];
  }
  return place;
}

uint32_t LpmTrieMap::make_node(const uint8_t* address, uint32_t prefix_and_kind) {
  uint32_t number = fresh_;
  if (number <= capacity_) {
    ++fresh_;
  } else {
    number = oldest_free_;
    CHECK(number != 0);
    oldest_free_ = at(number).free;
    if (oldest_free_ == 0) newest_free_ = 0;
  }
  Node& node = at(number);
  node.child[0].store(0, std::memory_order_relaxed);
  node.child[1].store(0, std::memory_order_relaxed);
  node.prefix.store(prefix_and_kind, std::memory_order_relaxed);
  auto* words = reinterpret_cast<uint64_t*>(node.address());
  for (uint32_t byte = 0; byte < address_bytes_; byte += 8) {
    uint64_t word = 0;
    std::memcpy(&word, address + byte, std::min(8u, address_bytes_ - byte));
    __atomic_store_n(words + byte / 8, word, __ATOMIC_RELAXED);
  }
  return number;
}

void LpmTrieMap::free_node(uint32_t number) {
  at(number).free = 0;
  if (newest_free_ != 0) {
    at(newest_free_).free = number;
  } else {
    oldest_free_ = number;
  }
  newest_free_ = number;
}

int LpmTrieMap::check_room(uint64_t flags) const {
  if (flags == kExist) return -ENOENT;
  return entries_.load(std::memory_order_relaxed) == spec_.max_entries ? -ENOSPC : 0;
}

int LpmTrieMap::update(const void* key, const void* new_value, uint64_t flags, uint32_t) {
  uint32_t prefix = base::load<uint32_t>(key);
  auto* address = static_cast<const uint8_t*>(key) + 4;
  if (flags > kExist || prefix > max_prefix_) return -EINVAL;
  begin_write();
  Place place = find_place(address, prefix);
  uint32_t word = place.node == 0 ? kIntermediate : at(place.node).prefix.load(std::memory_order_relaxed);
  bool same = place.node != 0 && prefix_of(word) == place.agree;  // then it is the key's own node
  bool present = same && holds_value(word);
  int error = present ? (flags == kNoExist ? -EEXIST : 0) : check_room(flags);
  if (error == 0) {
    uint32_t fresh = make_node(address, prefix);
    copier_.in_fresh(value(at(fresh)), new_value);
    if (same) {
      for (int side : {0, 1})
        at(fresh).child[side].store(at(place.node).child[side].load(std::memory_order_relaxed),
                                    std::memory_order_relaxed);
      place.link->store(fresh, std::memory_order_release);
      free_node(place.node);
    } else {
      insert(place, fresh, address, prefix);
    }
    if (!present) entries_.fetch_add(1, std::memory_order_relaxed);
  }
  end_write();
  return error;
}

// Links a new prefix in: at an empty link, above the node it is a prefix of, or beside it under a new intermediate
// node.
void LpmTrieMap::insert(const Place& place, uint32_t fresh, const uint8_t* address, uint32_t prefix) {
  if (place.node == 0) return place.link->store(fresh, std::memory_order_release);
  Node& node = at(place.node);
  if (place.agree == prefix) {
    at(fresh).child[bit_at(node.address(), place.agree)].store(place.node, std::memory_order_relaxed);
    return place.link->store(fresh, std::memory_order_release);
  }
  uint32_t fork = make_node(node.address(), place.agree | kIntermediate);
  uint32_t side = bit_at(address, place.agree);
  at(fork).child[side].store(fresh, std::memory_order_relaxed);
  at(fork).child[1 - side].store(place.node, std::memory_order_relaxed);
  place.link->store(fork, std::memory_order_release);
}

int LpmTrieMap::erase(const void* key) {
  uint32_t prefix = base::load<uint32_t>(key);
  auto* address = static_cast<const uint8_t*>(key) + 4;
  if (prefix > max_prefix_) return -EINVAL;
  begin_write();
  Place place = find_place(address, prefix);
  uint32_t word = place.node == 0 ? kIntermediate : at(place.node).prefix.load(std::memory_order_relaxed);
  bool present = holds_value(word) && word == prefix && place.agree == prefix;
  if (present) {
    remove(place);
    entries_.fetch_sub(1, std::memory_order_relaxed);
  }
  end_write();
  return present ? 0 : -ENOENT;
}

void LpmTrieMap::remove(const Place& place) {
  Node& node = at(place.node);
  uint32_t left = node.child[0].load(std::memory_order_relaxed), right = node.child[1].load(std::memory_order_relaxed);
  if (left != 0 && right != 0) {  // still needed as a fork
    node.prefix.fetch_or(kIntermediate, std::memory_order_relaxed);
    return;
  }
  bool fork_above = place.parent != 0 && !holds_value(at(place.parent).prefix.load(std::memory_order_relaxed));
  if (left == 0 && right == 0 && fork_above) {  // a fork with one branch is none: the other branch moves up
    Node& fork = at(place.parent);
    uint32_t sibling =
        fork.child[fork.child[0].load(std::memory_order_relaxed) == place.node ? 1 : 0].load(std::memory_order_relaxed);
    place.parent_link->store(sibling, std::memory_order_release);
    free_node(place.parent);
  } else {
    place.link->store(left != 0 ? left : right, std::memory_order_release);
  }
  free_node(place.node);
}

bool LpmTrieMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = nodes_.offset_of(address);
  if (offset >= uint64_t{capacity_} * stride_) return false;
  offset %= stride_;
  return offset >= value_offset_ && offset - value_offset_ + bytes <= spec_.value_size;
}

// First node in post-order below `from` (which it may be). Forks have two children, so the descent ends at a value.
uint32_t LpmTrieMap::leftmost(uint32_t from) const {
  for (;;) {
    uint32_t next = at(from).child[0].load(std::memory_order_relaxed);
    if (next == 0) next = at(from).child[1].load(std::memory_order_relaxed);
    if (next == 0) return from;
    from = next;
  }
}

// Node after the key's in post-order; the first one when the key is absent; 0 after the last. Pre: not empty, locked.
uint32_t LpmTrieMap::successor(const uint8_t* address, uint32_t prefix) {
  uint32_t path[kMaxAddressBytes * 8 + 1];
  uint32_t depth = 0;
  uint32_t number = root_.load(std::memory_order_relaxed);
  bool found = false;
  while (number != 0 && !found) {
    path[depth++] = number;
    uint32_t word = at(number).prefix.load(std::memory_order_relaxed);
    uint32_t agree = agreement(at(number), address, prefix);
    if (agree != prefix_of(word)) break;
    found = prefix_of(word) == prefix && holds_value(word);
    if (found || prefix_of(word) == prefix) break;
    number = at(number).child[bit_at(address, prefix_of(word))].load(std::memory_order_relaxed);
  }
  if (!found) return leftmost(root_.load(std::memory_order_relaxed));
  for (number = path[--depth]; depth > 0; number = path[depth]) {
    Node& parent = at(path[--depth]);
    uint32_t right = parent.child[1].load(std::memory_order_relaxed);
    if (right != 0 && right != number) return leftmost(right);
    if (holds_value(parent.prefix.load(std::memory_order_relaxed))) return path[depth];
  }
  return 0;
}

int LpmTrieMap::host_next_key(const void* key, void* next_key) {
  begin_write();
  uint32_t root = root_.load(std::memory_order_relaxed);
  uint32_t next = 0;
  if (root != 0) {
    uint32_t prefix = key == nullptr ? UINT32_MAX : base::load<uint32_t>(key);
    next = prefix > max_prefix_ ? leftmost(root) : successor(static_cast<const uint8_t*>(key) + 4, prefix);
  }
  if (next != 0) {
    base::store<uint32_t>(next_key, at(next).prefix.load(std::memory_order_relaxed));
    std::memcpy(static_cast<uint8_t*>(next_key) + 4, at(next).address(), address_bytes_);
  }
  end_write();
  return next != 0 ? 0 : -ENOENT;
}

}  // namespace xnic::exec::maps
