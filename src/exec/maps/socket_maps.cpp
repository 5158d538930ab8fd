// SPDX-License-Identifier: Apache-2.0
// Sockmap (indices below max_entries, all without a socket) and sockhash (no keys at all). Nothing is stored, so there
// is nothing to lock.
#include "exec/maps/socket_maps.hpp"

#include <climits>

#include "exec/maps/array.hpp"
#include "exec/maps/checks.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

namespace {

constexpr uint32_t kCreateFlags = arch::ebpf::kNumaNode | arch::ebpf::kRdonly | arch::ebpf::kWronly;
constexpr uint32_t kMaxHashKeyBytes = 512;  // a key must fit on a program's stack
// The kernel's buckets are a power of two of 16 bytes each, and their bytes must count in 32 bits.
constexpr uint32_t kMaxHashEntries = 1u << 27;

int check_spec(const MapSpec& spec) {
  if (spec.max_entries == 0 || spec.key_size == 0 || (spec.value_size != 4 && spec.value_size != 8) ||
      (spec.flags & ~kCreateFlags) != 0)
    return -EINVAL;
  if (spec.type == arch::ebpf::kMapSockmap) return spec.key_size != 4 || spec.max_entries > INT_MAX ? -EINVAL : 0;
  if (spec.key_size > kMaxHashKeyBytes) return -E2BIG;
  return spec.max_entries > kMaxHashEntries ? -EINVAL : 0;
}

}  // namespace

std::shared_ptr<Map> SocketMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_spec(spec)) != 0) return nullptr;
  return std::shared_ptr<Map>(new SocketMap(spec, options));
}

int SocketMap::update(const void*, const void*, uint64_t, uint32_t) { return -EOPNOTSUPP; }

int SocketMap::erase(const void*) { return spec_.type == arch::ebpf::kMapSockmap ? -EINVAL : -ENOENT; }

// What a host reads is the 8 bytes of a socket's cookie.
int SocketMap::host_lookup(const void*, void*, uint64_t flags) {
  if (flags != 0) return -EINVAL;
  return spec_.value_size == sizeof(uint64_t) ? -ENOENT : -ENOSPC;
}

int SocketMap::host_update(const void*, const void* value, uint64_t flags) {
  if (frozen()) return -EPERM;
  const uint64_t descriptor =
      spec_.value_size == sizeof(uint64_t) ? base::load<uint64_t>(value) : base::load<uint32_t>(value);
  return (flags & kLock) != 0 || descriptor > INT_MAX ? -EINVAL : -EOPNOTSUPP;
}

int SocketMap::host_next_key(const void* key, void* next_key) {
  return spec_.type == arch::ebpf::kMapSockmap ? next_array_index(key, next_key, spec_.max_entries) : -ENOENT;
}

}  // namespace xnic::exec::maps
