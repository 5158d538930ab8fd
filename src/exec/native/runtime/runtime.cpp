// SPDX-License-Identifier: Apache-2.0
// What compiled programs do beside their own instructions, in a form that LLVM can inline into them: the loop over
// packets, and helpers specialised for one map. clang makes bitcode of this file when the project is built; it is not
// linked into any binary. The implementations are the maps' and helpers' own headers, so there is one of each.
//
// Functions of maps take (run, the helper's arguments behind the map, what is known of the map); symbols.cpp names them
// and says what is known.
#include "arch/native/request.hpp"
#include "exec/helpers/inline.hpp"
#include "exec/maps/hash.hpp"
#include "exec/maps/lpm_trie.hpp"
#include "exec/native/run.hpp"

using namespace xnic::exec;
using maps::HashTable;
using maps::LpmTrieMap;
using native::Run;
using packet::Packet;

namespace {

template <class T>
T* pointer(uint64_t value) {
  return reinterpret_cast<T*>(value);
}
uint64_t number(const void* at) { return reinterpret_cast<uint64_t>(at); }
maps::Map& map_at(uint64_t value) { return *pointer<maps::Map>(value); }

HashTable::Parts hash_parts(uint64_t slab, uint64_t buckets, uint64_t mask, uint64_t key_size, uint64_t seed) {
  return {pointer<uint8_t>(slab), pointer<uint8_t>(buckets), static_cast<uint32_t>(mask),
          static_cast<uint32_t>(key_size), seed};
}

}  // namespace

extern "C" {

// The program and what it needs (arch::native::Needs); made with this file's code.
uint64_t xnic_program(Run* run, Packet* packet);
extern const uint32_t xnic_needs;

void xnic_batch(Run* run, Packet* packets, uint64_t count, Verdict* verdicts) {
  uint64_t bytes = 0;
  uint64_t actions[5] = {};
  for (uint64_t i = 0; i < count; ++i) {
    Packet* packet = packets + i;
    if (i + 2 < count) __builtin_prefetch(packets[i + 2].data);
    run->packet = packet;
    bytes += static_cast<uint64_t>(packet->data_end - packet->data);
    for (const Packet::Fragment& fragment : packet->fragments) bytes += fragment.size;
    if (xnic_needs & xnic::arch::native::kNeedsRedirect) run->redirect = {};
    if (xnic_needs & xnic::arch::native::kNeedsTailCalls) run->tail_calls = 0;
    if (xnic_needs & xnic::arch::native::kNeedsKeeping) {
      if (!run->held_maps.empty()) xnic_settle(run);
      run->lent.clear();
    }
    Verdict& verdict = verdicts[i];
    const auto code = static_cast<uint32_t>(xnic_program(run, packet));
    verdict.code = code;
    verdict.redirect = {};
    if ((xnic_needs & xnic::arch::native::kNeedsRedirect) && code == xnic::arch::ebpf::kXdpRedirect) {
      // Field by field, as they were written a moment ago: a wider load would have to wait for all of them.
      verdict.redirect.kind = run->redirect.kind;
      verdict.redirect.target = run->redirect.target;
      verdict.redirect.map_id = run->redirect.map_id;
      verdict.redirect.flags = run->redirect.flags;
    }
    ++actions[code <= xnic::arch::ebpf::kXdpRedirect ? code : xnic::arch::ebpf::kXdpAborted];
  }
  run->bytes += bytes;
  for (int i = 0; i < 5; ++i) run->actions[i] += actions[i];
}

// Maps.

uint64_t xnic_array_lookup(Run*, uint64_t key, uint64_t values, uint64_t stride, uint64_t entries) {
  const uint32_t index = xnic::base::load<uint32_t>(pointer<void>(key));
  return index < entries ? values + index * stride : 0;
}

uint64_t xnic_percpu_array_lookup(Run* run, uint64_t key, uint64_t values, uint64_t stride, uint64_t entries,
                                  uint64_t cpu_stride, uint64_t cpus) {
  const uint32_t index = xnic::base::load<uint32_t>(pointer<void>(key));
  const uint32_t cpu = run->run->cpu;
  return index < entries && cpu < cpus ? values + cpu * cpu_stride + index * stride : 0;
}

// `stamps`: of an LRU map, else 0.
uint64_t xnic_hash_lookup(Run* run, uint64_t key, uint64_t map, uint64_t slab, uint64_t buckets, uint64_t mask,
                          uint64_t key_size, uint64_t seed, uint64_t value_offset, uint64_t stamps) {
  bool busy = false;
  auto* element = HashTable::find_in(hash_parts(slab, buckets, mask, key_size, seed), pointer<void>(key), busy);
  if (busy) [[unlikely]]
    return number(map_at(map).lookup(pointer<void>(key), run->run->cpu));
  if (element == nullptr) return 0;
  if (stamps != 0) pointer<maps::LruStamps>(stamps)->mark(element);
  return number(element) + value_offset;
}

uint64_t xnic_percpu_hash_lookup(Run* run, uint64_t key, uint64_t map, uint64_t slab, uint64_t buckets, uint64_t mask,
                                 uint64_t key_size, uint64_t seed, uint64_t values, uint64_t stride,
                                 uint64_t cpu_stride, uint64_t cpus, uint64_t stamps) {
  const uint32_t cpu = run->run->cpu;
  if (cpu >= cpus) return 0;
  bool busy = false;
  auto* element = HashTable::find_in(hash_parts(slab, buckets, mask, key_size, seed), pointer<void>(key), busy);
  if (busy) [[unlikely]]
    return number(map_at(map).lookup(pointer<void>(key), cpu));
  if (element == nullptr) return 0;
  if (stamps != 0) pointer<maps::LruStamps>(stamps)->mark(element);
  return values + cpu * cpu_stride + element->index * stride;
}

uint64_t xnic_lpm_lookup(Run* run, uint64_t key, uint64_t map, uint64_t nodes, uint64_t root, uint64_t version,
                         uint64_t stride, uint64_t address_bytes) {
  const LpmTrieMap::Parts parts{pointer<uint8_t>(nodes), pointer<const LpmTrieMap::Link>(root),
                                pointer<const std::atomic<uint32_t>>(version), stride,
                                static_cast<uint32_t>(address_bytes)};
  bool busy = false;
  uint8_t* found = LpmTrieMap::find_in(parts, pointer<void>(key), busy);
  if (busy) [[unlikely]]
    return number(map_at(map).lookup(pointer<void>(key), run->run->cpu));
  return number(found);
}

// Any other map that holds values: without the helper's way around.
uint64_t xnic_map_lookup(Run* run, uint64_t key, uint64_t map) {
  return number(map_at(map).lookup(pointer<void>(key), run->run->cpu));
}
uint64_t xnic_map_update(Run* run, uint64_t key, uint64_t value, uint64_t flags, uint64_t map) {
  return static_cast<uint64_t>(
      int64_t{map_at(map).update(pointer<void>(key), pointer<void>(value), flags, run->run->cpu)});
}
uint64_t xnic_map_erase(Run*, uint64_t key, uint64_t map) {
  return static_cast<uint64_t>(int64_t{map_at(map).erase(pointer<void>(key))});
}
// `id` is the map's number on the device.
uint64_t xnic_redirect_map(Run* run, uint64_t index, uint64_t flags, uint64_t map, uint64_t kind, uint64_t id) {
  return helpers::inlined::redirect_map(
      *run, static_cast<RedirectKind>(kind), index, flags,
      [&](uint32_t key) { return map_at(map).lookup(&key, run->run->cpu) != nullptr; },
      [&] { return static_cast<uint32_t>(id); });
}
// Devmap, cpumap and xskmap arrays: `shift` is where the word stands in a slot that says whether the entry exists.
uint64_t xnic_redirect_array(Run* run, uint64_t index, uint64_t flags, uint64_t slots, uint64_t entries, uint64_t shift,
                             uint64_t kind, uint64_t id) {
  return helpers::inlined::redirect_map(
      *run, static_cast<RedirectKind>(kind), index, flags,
      [&](uint32_t key) {
        if (key >= entries) return false;
        const uint64_t slot = __atomic_load_n(pointer<uint64_t>(slots) + key, __ATOMIC_RELAXED);
        return static_cast<uint32_t>(slot >> shift) != 0;
      },
      [&] { return static_cast<uint32_t>(id); });
}

// Helpers, by number.

uint64_t xnic_helper_7(Run* run, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
  return helpers::inlined::random_word(*run);
}
uint64_t xnic_helper_8(Run* run, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return run->run->cpu; }
uint64_t xnic_helper_23(Run* run, uint64_t ifindex, uint64_t flags, uint64_t, uint64_t, uint64_t) {
  return helpers::inlined::redirect(*run, ifindex, flags);
}
uint64_t xnic_helper_28(Run*, uint64_t from, uint64_t from_size, uint64_t to, uint64_t to_size, uint64_t seed) {
  return helpers::inlined::csum_diff(from, from_size, to, to_size, seed);
}
uint64_t xnic_helper_44(Run* run, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  return helpers::inlined::adjust_head(*run->packet, delta);
}
uint64_t xnic_helper_54(Run* run, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  return helpers::inlined::adjust_meta(*run->packet, delta);
}
uint64_t xnic_helper_65(Run* run, uint64_t, uint64_t delta, uint64_t, uint64_t, uint64_t) {
  if (!run->packet->fragments.empty()) [[unlikely]]
    return xnic_adjust_fragments(run, delta);
  return helpers::inlined::adjust_linear_tail(*run->packet, delta);
}
}
