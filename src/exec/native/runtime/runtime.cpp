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
// An address inside a map. The program's own check for null then folds into the look-up's.
uint64_t not_null(uint64_t address) {
  __builtin_assume(address != 0);
  return address;
}
// `shift` is where the half of a slot stands that says whether the entry exists.
bool slot_present(uint64_t slots, uint64_t index, uint64_t shift) {
  return static_cast<uint32_t>(__atomic_load_n(pointer<uint64_t>(slots) + index, __ATOMIC_RELAXED) >> shift) != 0;
}
maps::Map& map_at(uint64_t value) { return *pointer<maps::Map>(value); }

HashTable::Parts hash_parts(uint64_t slab, uint64_t buckets, uint64_t mask, uint64_t key_size, uint64_t seed) {
  return {pointer<uint8_t>(slab), pointer<uint8_t>(buckets), static_cast<uint32_t>(mask),
          static_cast<uint32_t>(key_size), seed};
}

}  // namespace

// The program and what it needs (arch::native::Needs); made with this file's code.
extern "C" uint64_t xnic_program(Run* run, Packet* packet);
extern "C" const uint32_t xnic_needs;

namespace {

// Actions are counted in the bytes of one word, which stays in a register: counters in memory would each wait for their
// own last store.
constexpr uint64_t kCountedAtOnce = 255;

[[gnu::noinline]] uint64_t fragment_bytes(const Packet* packet) {
  uint64_t bytes = 0;
  for (const Packet::Fragment& fragment : packet->fragments) bytes += fragment.size;
  return bytes;
}

// Pre: packet < end, at most kCountedAtOnce packets.
[[gnu::noinline]] void run_some(Run* run, Packet* packet, Packet* const end, Verdict* verdict) {
  uint64_t bytes = 0, actions = 0;
  for (; packet != end; ++packet, ++verdict) {
    const Packet* const ahead = packet + 2 < end ? packet + 2 : packet;
    __builtin_prefetch(ahead->data);
    run->packet = packet;
    bytes += static_cast<uint64_t>(packet->data_end - packet->data);
    if (!packet->fragments.empty()) [[unlikely]]
      bytes += fragment_bytes(packet);
    if (xnic_needs & xnic::arch::native::kNeedsRedirect) run->redirect = {};
    if (xnic_needs & xnic::arch::native::kNeedsTailCalls) run->tail_calls = 0;
    if (xnic_needs & xnic::arch::native::kNeedsKeeping) {
      if (!run->held_maps.empty()) xnic_settle(run);
      run->lent.clear();
    }
    const auto code = static_cast<uint32_t>(xnic_program(run, packet));
    __builtin_memset(static_cast<void*>(verdict), 0, sizeof *verdict);  // two stores, whatever its fields
    verdict->code = code;
    if ((xnic_needs & xnic::arch::native::kNeedsRedirect) && code == xnic::arch::ebpf::kXdpRedirect) {
      // Field by field, as they were written a moment ago: a wider load would have to wait for all of them.
      verdict->redirect.kind = run->redirect.kind;
      verdict->redirect.target = run->redirect.target;
      verdict->redirect.map_id = run->redirect.map_id;
      verdict->redirect.flags = run->redirect.flags;
    }
    actions += uint64_t{1} << 8 * (code <= xnic::arch::ebpf::kXdpRedirect ? code : xnic::arch::ebpf::kXdpAborted);
  }
  run->bytes += bytes;
  for (int i = 0; i < 5; ++i) run->actions[i] += actions >> 8 * i & 0xff;
}

}  // namespace

extern "C" {

void xnic_batch(Run* run, Packet* packets, uint64_t count, Verdict* verdicts) {
  for (uint64_t done = 0; done < count; done += kCountedAtOnce) {
    const uint64_t left = count - done;
    run_some(run, packets + done, packets + done + (left < kCountedAtOnce ? left : kCountedAtOnce), verdicts + done);
  }
}

// Maps.

uint64_t xnic_array_lookup(Run*, uint64_t key, uint64_t values, uint64_t stride, uint64_t entries) {
  const uint32_t index = xnic::base::load<uint32_t>(pointer<void>(key));
  return index < entries ? not_null(values + index * stride) : 0;
}

uint64_t xnic_percpu_array_lookup(Run* run, uint64_t key, uint64_t values, uint64_t stride, uint64_t entries,
                                  uint64_t cpu_stride, uint64_t cpus) {
  const uint32_t index = xnic::base::load<uint32_t>(pointer<void>(key));
  const uint32_t cpu = run->run->cpu;
  return index < entries && cpu < cpus ? not_null(values + cpu * cpu_stride + index * stride) : 0;
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
  return not_null(number(element) + value_offset);
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
  return not_null(values + cpu * cpu_stride + element->index * stride);
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

// Devmaps, cpumaps and xskmaps are arrays of words.
uint64_t xnic_slot_lookup(Run*, uint64_t key, uint64_t slots, uint64_t entries, uint64_t shift) {
  const uint32_t index = xnic::base::load<uint32_t>(pointer<void>(key));
  return index < entries && slot_present(slots, index, shift) ? not_null(slots + index * sizeof(uint64_t)) : 0;
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
uint64_t xnic_redirect_array(Run* run, uint64_t index, uint64_t flags, uint64_t slots, uint64_t entries, uint64_t shift,
                             uint64_t kind, uint64_t id) {
  return helpers::inlined::redirect_map(
      *run, static_cast<RedirectKind>(kind), index, flags,
      [&](uint32_t key) { return key < entries && slot_present(slots, key, shift); },
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
