// SPDX-License-Identifier: Apache-2.0
// Sockmap and sockhash: maps of sockets that stay empty, since the card has no socket that they could hold. Programs
// and hosts get what the kernel's empty maps answer (net/core/sock_map.c), and -EOPNOTSUPP for every update, which is
// the kernel's answer to sockets that cannot be in such a map.
#pragma once

#include "exec/maps/map.hpp"

namespace xnic::exec::maps {

class SocketMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  int update(const void* key, const void* socket, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  // `value` is a descriptor of the host, u32 or u64 as value_size says; whether it is open is for device/ to know.
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_next_key(const void* key, void* next_key) override;

 private:
  SocketMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
};

}  // namespace xnic::exec::maps
