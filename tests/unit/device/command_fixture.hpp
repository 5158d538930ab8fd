// SPDX-License-Identifier: Apache-2.0
// A device and short forms of the commands, for the tests of src/device.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "device/device.hpp"

namespace xnic::device {

inline uint64_t address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

class CommandTest : public ::testing::Test {
 protected:
  using Insns = std::vector<arch::ebpf::RawInsn>;

  static DeviceOptions options() {
    DeviceOptions result;
    result.cpus = 2;
    return result;
  }
  Device device{options()};

  static union bpf_attr zero() {
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    return attr;
  }
  long call(int command, union bpf_attr& attr) { return device.bpf(command, &attr, sizeof attr); }

  long create_map(uint32_t type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0) {
    auto attr = zero();
    attr.map_type = type;
    attr.key_size = key;
    attr.value_size = value;
    attr.max_entries = entries;
    attr.map_flags = flags;
    return call(BPF_MAP_CREATE, attr);
  }
  int array(uint32_t entries = 4, uint32_t flags = 0) {
    return static_cast<int>(create_map(BPF_MAP_TYPE_ARRAY, 4, 8, entries, flags));
  }
  int hash(uint32_t entries = 100) { return static_cast<int>(create_map(BPF_MAP_TYPE_HASH, 4, 8, entries)); }
  long element(int command, long fd, const void* key, const void* value, uint64_t flags = 0) {
    auto attr = zero();
    attr.map_fd = static_cast<uint32_t>(fd);
    attr.key = address(key);
    attr.value = address(value);
    attr.flags = flags;
    return call(command, attr);
  }
  long update(long fd, uint32_t key, uint64_t value, uint64_t flags = 0) {
    return element(BPF_MAP_UPDATE_ELEM, fd, &key, &value, flags);
  }
  long lookup(long fd, uint32_t key, uint64_t& value) { return element(BPF_MAP_LOOKUP_ELEM, fd, &key, &value); }

  // r0 = code; exit
  static Insns returning(int32_t code) { return {{0xb7, 0, 0, 0, code}, {0x95, 0, 0, 0, 0}}; }
  long load(const Insns& insns, uint32_t type = BPF_PROG_TYPE_XDP, uint32_t attach = BPF_XDP) {
    auto attr = zero();
    attr.prog_type = type;
    attr.insns = address(insns.data());
    attr.insn_cnt = static_cast<uint32_t>(insns.size());
    attr.license = address("GPL");
    attr.expected_attach_type = attach;
    attr.log_buf = address(log);
    attr.log_size = sizeof log;
    attr.log_level = 1;
    log[0] = 0;
    return call(BPF_PROG_LOAD, attr);
  }
  char log[1 << 16];

  long next_id(int command, uint32_t after) {
    auto attr = zero();
    attr.start_id = after;
    long result = call(command, attr);
    return result < 0 ? result : attr.next_id;
  }
  template <class Info>
  Info info(long fd) {
    Info result;
    std::memset(&result, 0, sizeof result);
    EXPECT_EQ(read_info(fd, result), 0);
    return result;
  }
  template <class Info>
  long read_info(long fd, Info& result) {
    auto attr = zero();
    attr.info.bpf_fd = static_cast<uint32_t>(fd);
    attr.info.info_len = sizeof result;
    attr.info.info = address(&result);
    return call(BPF_OBJ_GET_INFO_BY_FD, attr);
  }
  static size_t open_descriptors() {
    size_t count = 0;
    DIR* folder = opendir("/proc/self/fd");
    while (readdir(folder)) ++count;
    closedir(folder);
    return count;
  }
};

}  // namespace xnic::device
