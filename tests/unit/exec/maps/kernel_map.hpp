// SPDX-License-Identifier: Apache-2.0
// A map of the live kernel, driven by bpf(2), as the reference that our maps are compared with.
#pragma once

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#include "arch/ebpf/map_types.hpp"

namespace xnic::exec::maps::test {

// Possible CPUs of this machine: the number of copies in the kernel's per-CPU values.
inline uint32_t possible_cpus() {
  std::ifstream file("/sys/devices/system/cpu/possible");
  std::string range;
  file >> range;  // "0-3" or "0"
  auto dash = range.find('-');
  return range.empty() ? 1u
                       : 1u + static_cast<uint32_t>(std::stoul(range.substr(dash == std::string::npos ? 0 : dash + 1)));
}

class KernelMap {
 public:
  // `inner_fd`: template of a map of maps.
  explicit KernelMap(const arch::ebpf::MapSpec& spec, int inner_fd = -1) {
    bpf_attr attr{};
    attr.map_type = spec.type;
    attr.key_size = spec.key_size;
    attr.value_size = spec.value_size;
    attr.max_entries = spec.max_entries;
    attr.map_flags = spec.flags;
    attr.map_extra = spec.map_extra;
    if (inner_fd >= 0) attr.inner_map_fd = static_cast<uint32_t>(inner_fd);
    fd_ = call(BPF_MAP_CREATE, attr);
  }
  ~KernelMap() {
    if (fd_ >= 0) close(fd_);
  }
  KernelMap(const KernelMap&) = delete;
  KernelMap& operator=(const KernelMap&) = delete;

  // The descriptor, or -errno of the creation.
  int fd() const { return fd_; }
  // Whether bpf(2) lets this process make maps.
  static bool permitted() {
    arch::ebpf::MapSpec spec;
    spec.type = arch::ebpf::kMapHash;  // arrays are allowed to anybody where unprivileged bpf is on
    spec.key_size = spec.value_size = 4;
    spec.max_entries = 1;
    return KernelMap(spec).fd() >= 0;
  }

  int lookup(const void* key, void* value, uint64_t flags) { return element(BPF_MAP_LOOKUP_ELEM, key, value, flags); }
  int update(const void* key, const void* value, uint64_t flags) {
    return element(BPF_MAP_UPDATE_ELEM, key, value, flags);
  }
  int erase(const void* key) { return element(BPF_MAP_DELETE_ELEM, key, nullptr, 0); }
  int lookup_and_delete(const void* key, void* value, uint64_t flags) {
    return element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, value, flags);
  }
  int next_key(const void* key, void* next) { return element(BPF_MAP_GET_NEXT_KEY, key, next, 0); }
  int freeze() { return element(BPF_MAP_FREEZE, nullptr, nullptr, 0); }

 private:
  static int call(int command, bpf_attr& attr) {
    long result = syscall(SYS_bpf, command, &attr, sizeof attr);
    return result < 0 ? -errno : static_cast<int>(result);
  }
  int element(int command, const void* key, const void* value, uint64_t flags) {
    bpf_attr attr{};
    attr.map_fd = static_cast<uint32_t>(fd_);
    attr.key = reinterpret_cast<uint64_t>(key);
    attr.value = reinterpret_cast<uint64_t>(value);  // next_key shares the place
    attr.flags = flags;
    return call(command, attr);
  }
  int fd_ = -1;
};

}  // namespace xnic::exec::maps::test
