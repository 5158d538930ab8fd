// SPDX-License-Identifier: Apache-2.0
// The firmware's side of a program: the routines of helpers, on the maps that all engines share, and the packet's
// bounds.
//
// A routine finds its arguments as the driver's compiler leaves them: the map's number in A0 (events: the kind of
// pointer in A1), the return address in B0, key and value at local memory pointers 0 and 2. It gives r0 back in both
// banks, and keeps pointers 0 and 1, the stack's base and r6 to r9. Everything else may change: here it becomes poison.
#include <linux/bpf.h>

#include <algorithm>

#include "arch/ebpf/map_types.hpp"

#include "exec/sim/nfp/thread.hpp"

namespace xnic::exec::sim::nfp {

namespace {

// Numbers that tell event_output what its data pointer is.
constexpr uint32_t kScalar = 1, kMapValue = 4, kStack = 6, kPacket = 8;

uint64_t host(const void* at) { return reinterpret_cast<uint64_t>(at); }

Access access_of(uint32_t helper, const maps::Map& map) {
  if (helper == BPF_FUNC_map_update_elem) return Access::kUpdate;
  if (helper == BPF_FUNC_map_delete_elem) return Access::kDelete;
  return map.spec().type == arch::ebpf::kMapArray ? Access::kLookupArray : Access::kLookupHash;
}

// The bucket of the firmware's table that a key falls into: one of 4 million (FNV-1a).
uint32_t bucket_of(uint32_t table, const std::vector<uint8_t>& key) {
  uint32_t hash = 2166136261u ^ table;
  for (const uint8_t byte : key) hash = (hash ^ byte) * 16777619u;
  return (hash ^ hash >> 22) & 0x3fffff;
}

}  // namespace

maps::Map* Thread::map_numbered(uint32_t table) {
  if (table != 0 && table - 1 < program_->maps.size()) return program_->maps[table - 1].get();
  stop("there is no map of that number");
  return nullptr;
}

void Thread::firmware(uint32_t helper) {
  ++counters_.helpers;
  const uint32_t back = b_[0];
  switch (helper) {
    case BPF_FUNC_map_lookup_elem:
    case BPF_FUNC_map_update_elem:
    case BPF_FUNC_map_delete_elem:
      call_map(helper);
      break;
    case BPF_FUNC_perf_event_output:
      event_output();
      break;
    default:
      return stop("the firmware has no such routine");
  }
  if (!fault_) pc_ = back;
}

// The bytes at a local memory pointer.
bool Thread::copy_local(unsigned pointer, uint32_t bytes, std::vector<uint8_t>& to) {
  if (now_ < pointer_ready_[pointer]) stop("a local memory pointer is used before it is set");
  const uint32_t from = pointer_[pointer];
  if (uint64_t{from} + bytes > kVectorAddress) stop("an argument lies outside the stack");
  if (fault_) return false;
  to.resize((bytes + 7) / 8 * 8);
  std::memcpy(to.data(), reinterpret_cast<const uint8_t*>(local_.data()) + from, bytes);
  return true;
}

void Thread::call_map(uint32_t helper) {
  maps::Map* map = map_numbered(a_[0]);
  std::vector<uint8_t> key, value;
  if (map == nullptr || !copy_local(0, map->spec().key_size, key)) return;
  const bool with_value = helper == BPF_FUNC_map_update_elem;
  if (with_value && !copy_local(2, map->spec().value_size, value)) return;
  const uint64_t flags = uint64_t{a_[9]} << 32 | a_[8];
  const uint32_t table = a_[0];
  record(access_of(helper, *map), map->spec().value_size / 4, bucket_of(table, key));
  const uint64_t result = helpers::helper_function(helper)(helper_, host(map), host(key.data()), host(value.data()),
                                                           with_value ? flags : 0, 0);
  if (helper != BPF_FUNC_map_lookup_elem || result == 0) return give_back(result);
  give_back(value_address(table - 1, reinterpret_cast<void*>(result)));
}

// A pointer is the 40-bit address with its upper byte on top of the second register: shifted by 8 it counts right.
uint64_t Thread::value_address(arch::ebpf::MapIndex map, void* value) {
  const auto [at, fresh] = value_numbers_.try_emplace(value, static_cast<uint32_t>(values_.size()));
  if (fresh) values_.push_back({static_cast<uint8_t*>(value), map});
  const uint64_t address = kValueBase + uint64_t{at->second} * kValueStride;
  return (address >> 32) << 56 | (address & 0xffffffff);
}

void Thread::give_back(uint64_t result) {
  for (uint32_t i = 2; i < 12; ++i) a_[i] = b_[i] = kPoison | 0x200 | i;
  for (uint32_t i = 20; i < 32; ++i)
    if (i != 22) a_[i] = b_[i] = kPoison | 0x200 | i;
  for (uint32_t i = 0; i < 64; ++i) in_[i] = out_[i] = kPoison | 0x300 | i;
  pointer_[2] = pointer_[3] = kLocalWords * 4;
  flags_known_ = carry_known_ = false;
  last_alu_ = 0;
  product_ = {};
  a_[0] = b_[0] = static_cast<uint32_t>(result);
  a_[1] = b_[1] = static_cast<uint32_t>(result >> 32);
}

// The packet's bounds as the vector has them, to the host's packet.
void Thread::move_packet() {
  const uint32_t offset = local_[kVectorAddress / 4 + 2] & 0xffff;
  const uint32_t length = local_[kVectorAddress / 4] & 0x3fff;
  uint8_t* data = buffer_ + offset;
  if (data != packet_->data) packet_->data_meta = data;
  packet_->data = data;
  packet_->data_end = data + length;
}

// Asynchronous on the card; here the event is there at once.
void Thread::event_output() {
  maps::Map* map = map_numbered(a_[4]);
  if (map == nullptr) return;
  const uint64_t flags = uint64_t{a_[7]} << 32 | a_[6];
  const uint32_t size = a_[10];
  std::vector<uint8_t> data(size + 8);
  switch (a_[1]) {
    case kStack:
      if (uint64_t{a_[8]} + size > kVectorAddress) return stop("an argument lies outside the stack");
      std::memcpy(data.data(), reinterpret_cast<const uint8_t*>(local_.data()) + a_[8], size);
      break;
    case kPacket:
    case kMapValue:
      for (uint32_t i = 0; i < size; ++i) {
        const uint64_t address = a_[1] == kPacket ? a_[8] : (uint64_t{a_[9]} << 8) + a_[8];
        const uint8_t* byte = byte_at((address & ((uint64_t{1} << 40) - 1)) + i);
        if (byte == nullptr) return;
        data[i] = *byte;
      }
      break;
    case kScalar:
    default:
      if (size != 0) return stop("an event without data");
  }
  move_packet();
  record(Access::kEvent, std::min(size / 4, 32u), 0);
  give_back(
      helpers::helper_function(BPF_FUNC_perf_event_output)(helper_, 0, host(map), flags, host(data.data()), size));
}

}  // namespace xnic::exec::sim::nfp
