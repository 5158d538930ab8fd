// SPDX-License-Identifier: Apache-2.0
// Batched element commands (kernel/bpf/syscall.c generic_map_*_batch, kernel/bpf/hashtab.c __htab_map_lookup_...).
//
// Where a batched read goes on: for arrays and tries the token is the last key itself; for hash maps the caller only
// has room for a u32, so the map object keeps a small table from token to last key. When the key has been deleted in
// between, the walk starts again from the first element, as get_next_key does.
#include <algorithm>
#include <cerrno>

#include "arch/ebpf/map_types.hpp"
#include "device/state.hpp"

namespace xnic::device {
namespace {

namespace ebpf = arch::ebpf;
using arch::ebpf::MapSpec;

constexpr size_t kMaxCursors = 64;  // walks of one map that go on at the same time; the oldest is forgotten

bool has_u32_token(uint32_t type) {
  return type == ebpf::kMapHash || type == ebpf::kMapPercpuHash || type == ebpf::kMapLruHash ||
         type == ebpf::kMapLruPercpuHash;
}

bool can_read(uint32_t type) {
  return has_u32_token(type) || type == ebpf::kMapArray || type == ebpf::kMapPercpuArray || type == ebpf::kMapLpmTrie ||
         type == ebpf::kMapArrayOfMaps || type == ebpf::kMapHashOfMaps;
}
bool can_delete(uint32_t type) {
  return has_u32_token(type) || type == ebpf::kMapLpmTrie || type == ebpf::kMapHashOfMaps;
}

struct Batch {
  std::shared_ptr<MapObject> object;
  exec::maps::Map* map = nullptr;
  std::vector<uint8_t> key;
  std::vector<uint8_t> value;
};

int open_batch(const Command& command, bool reads, bool writes, Batch& batch) {
  const auto& attr = command.attr.batch;
  if (!command.clean_after(XNIC_ATTR_END(batch.flags))) return -EINVAL;
  FileIdentity identity;
  if (int error = command.map(static_cast<int>(attr.map_fd), batch.object, &identity)) return error;
  batch.map = batch.object->map.get();
  if (reads && !identity.readable) return -EPERM;
  if (writes && (!identity.writable || batch.map->frozen())) return -EPERM;
  // The kernel looks at the flags of reads only.
  if ((reads && attr.flags != 0) || (attr.elem_flags & ~uint64_t{BPF_F_LOCK})) return -EINVAL;
  if ((attr.elem_flags & BPF_F_LOCK) && batch.map->spec().spin_lock_offset < 0) return -EINVAL;
  batch.key.resize(batch.map->spec().key_size);
  batch.value.resize(batch.map->host_value_bytes());
  return 0;
}

int put_count(const Command& command, uint32_t count) {
  return command.put(offsetof(union bpf_attr, batch.count), count);
}

// Reads the token; `started` tells whether batch.key holds the key to go on from.
int read_token(const Command& command, Batch& batch, bool& started) {
  const auto& attr = command.attr.batch;
  started = attr.in_batch != 0;
  if (!started) return 0;
  if (!has_u32_token(batch.map->spec().type))
    return command.caller.read(attr.in_batch, batch.key.data(), batch.key.size());
  uint32_t token;
  if (int error = command.caller.read(attr.in_batch, &token, sizeof token)) return error;
  std::lock_guard lock(batch.object->cursor_mutex);
  auto cursor = batch.object->cursors.find(token);
  if (cursor == batch.object->cursors.end()) return -EINVAL;
  batch.key = cursor->second;
  return 0;
}

int write_token(const Command& command, Batch& batch) {
  const auto& attr = command.attr.batch;
  if (!has_u32_token(batch.map->spec().type))
    return command.caller.write(attr.out_batch, batch.key.data(), batch.key.size());
  uint32_t token;
  {
    std::lock_guard lock(batch.object->cursor_mutex);
    auto& cursors = batch.object->cursors;
    token = ++batch.object->last_token;
    cursors[token] = batch.key;
    if (cursors.size() > kMaxCursors) cursors.erase(cursors.begin());
  }
  return command.caller.write(attr.out_batch, &token, sizeof token);
}

}  // namespace

long map_lookup_batch(Command& command, bool erase) {
  const auto& attr = command.attr.batch;
  Batch batch;
  if (int error = open_batch(command, true, erase, batch)) return error;
  uint32_t type = batch.map->spec().type;
  if (erase ? !has_u32_token(type) : !can_read(type)) return -kErrnoNotSupported;
  if (attr.count == 0) return 0;
  if (int error = put_count(command, 0)) return error;
  bool started = false;
  if (int error = read_token(command, batch, started)) return error;

  std::vector<uint8_t> next(batch.key.size());
  uint32_t count = 0;
  int result = 0;
  while (count < attr.count) {
    result = batch.map->host_next_key(started ? batch.key.data() : nullptr, next.data());
    if (result != 0) break;
    if (erase)
      result = batch.map->host_lookup_and_delete(next.data(), batch.value.data(), attr.elem_flags);
    else
      result = batch.map->host_lookup(next.data(), batch.value.data(), attr.elem_flags);
    if (!erase) {
      batch.key = next;
      started = true;
    }
    if (result == -ENOENT) continue;  // empty slot, or gone since
    if (result != 0) break;
    result = command.caller.write(attr.keys + uint64_t{count} * next.size(), next.data(), next.size());
    if (result == 0)
      result = command.caller.write(attr.values + uint64_t{count} * batch.value.size(), batch.value.data(),
                                    batch.value.size());
    if (result != 0) break;
    if (erase) batch.key = next;
    ++count;
  }
  if (result == -EFAULT) return result;
  if (int error = put_count(command, count)) return error;
  if (count > 0 || started)
    if (int error = write_token(command, batch)) return error;
  return result;
}

long map_update_batch(Command& command) {
  const auto& attr = command.attr.batch;
  Batch batch;
  if (int error = open_batch(command, false, true, batch)) return error;
  if (!can_read(batch.map->spec().type)) return -kErrnoNotSupported;
  command.caller.expect(attr.keys, uint64_t{attr.count} * batch.key.size());
  command.caller.expect(attr.values, uint64_t{attr.count} * batch.value.size());
  uint32_t count = 0;
  int result = 0;
  for (; count < attr.count && result == 0; count += result == 0) {
    result = command.caller.read(attr.keys + uint64_t{count} * batch.key.size(), batch.key.data(), batch.key.size());
    if (result == 0)
      result = command.caller.read(attr.values + uint64_t{count} * batch.value.size(), batch.value.data(),
                                   batch.value.size());
    if (result == 0)
      result = copy_element_in(command, *batch.object, batch.key.data(), batch.value.data(), attr.elem_flags);
  }
  if (int error = put_count(command, count)) return error;
  return result;
}

long map_delete_batch(Command& command) {
  const auto& attr = command.attr.batch;
  Batch batch;
  if (int error = open_batch(command, false, true, batch)) return error;
  if (!can_delete(batch.map->spec().type)) return -kErrnoNotSupported;
  command.caller.expect(attr.keys, uint64_t{attr.count} * batch.key.size());
  uint32_t count = 0;
  int result = 0;
  for (; count < attr.count && result == 0; count += result == 0) {
    result = command.caller.read(attr.keys + uint64_t{count} * batch.key.size(), batch.key.data(), batch.key.size());
    if (result == 0) result = batch.map->host_erase(batch.key.data());
  }
  if (int error = put_count(command, count)) return error;
  return result;
}

}  // namespace xnic::device
