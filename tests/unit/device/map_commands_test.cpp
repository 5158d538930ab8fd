// SPDX-License-Identifier: Apache-2.0
// Map commands: results and errno values are those of Linux 6.18 (kernel/bpf/syscall.c).
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "command_fixture.hpp"
#include "exec/maps/map.hpp"

namespace xnic::device {
namespace {

using MapCommands = CommandTest;

TEST_F(MapCommands, WriteReadAndDeleteElements) {
  int fd = hash();
  ASSERT_GE(fd, 0);
  uint64_t value = 0;
  EXPECT_EQ(lookup(fd, 1, value), -ENOENT);
  EXPECT_EQ(update(fd, 1, 77), 0);
  EXPECT_EQ(lookup(fd, 1, value), 0);
  EXPECT_EQ(value, 77u);
  EXPECT_EQ(update(fd, 1, 78, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(update(fd, 2, 78, BPF_EXIST), -ENOENT);
  uint32_t key = 1;
  EXPECT_EQ(element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, &key, &value), 0);
  EXPECT_EQ(value, 77u);
  EXPECT_EQ(lookup(fd, 1, value), -ENOENT);
  auto attr = zero();
  attr.map_fd = static_cast<uint32_t>(fd);
  attr.key = address(&key);
  EXPECT_EQ(call(BPF_MAP_DELETE_ELEM, attr), -ENOENT);
  close(fd);
}

TEST_F(MapCommands, WalkAllKeysOnce) {
  int fd = hash();
  for (uint32_t key = 0; key < 20; ++key) ASSERT_EQ(update(fd, key, key), 0);
  std::set<uint32_t> seen;
  auto attr = zero();
  uint32_t key = 0, next = 0;
  attr.map_fd = static_cast<uint32_t>(fd);
  attr.next_key = address(&next);
  while (call(BPF_MAP_GET_NEXT_KEY, attr) == 0) {
    EXPECT_TRUE(seen.insert(next).second);
    key = next;
    attr.key = address(&key);
  }
  EXPECT_EQ(call(BPF_MAP_GET_NEXT_KEY, attr), -ENOENT);
  EXPECT_EQ(seen.size(), 20u);
  close(fd);
}

TEST_F(MapCommands, RefuseBadArguments) {
  EXPECT_EQ(create_map(999, 4, 4, 1), -EINVAL);
  EXPECT_EQ(create_map(BPF_MAP_TYPE_ARRAY, 8, 4, 1), -EINVAL);
  EXPECT_EQ(create_map(BPF_MAP_TYPE_ARRAY, 4, 4, 0), -EINVAL);
  EXPECT_EQ(create_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1, BPF_F_RDONLY | BPF_F_WRONLY), -EINVAL);
  EXPECT_EQ(create_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 4, 1), -524);
  auto attr = zero();
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 1;
  std::strcpy(attr.map_name, "no-dash");
  EXPECT_EQ(call(BPF_MAP_CREATE, attr), -EINVAL);
  std::memset(attr.map_name, 'a', sizeof attr.map_name);
  EXPECT_EQ(call(BPF_MAP_CREATE, attr), -EINVAL);

  int fd = array();
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  uint64_t value = 0;
  uint32_t key = 0;
  EXPECT_EQ(lookup(9999, 0, value), -EBADF);
  EXPECT_EQ(lookup(fds[0], 0, value), -EINVAL);
  long program = load(returning(2));
  EXPECT_EQ(lookup(program, 0, value), -EINVAL);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, fd, nullptr, &value), -EFAULT);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, fd, &key, nullptr), -EFAULT);
  EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, fd, &key, reinterpret_cast<void*>(0xdead000000ul)), -EFAULT);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 64), -EINVAL);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(update(fd, 0, 1, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(update(fd, 4, 1), -E2BIG);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, &key, &value), -524);
  for (int each : {fd, fds[0], fds[1], static_cast<int>(program)}) close(each);
}

TEST_F(MapCommands, CheckTheAttributeBytesAsTheKernelDoes) {
  struct {
    union bpf_attr attr;
    uint8_t later[64];
  } big;
  std::memset(&big, 0, sizeof big);
  big.attr.map_type = BPF_MAP_TYPE_ARRAY;
  big.attr.key_size = big.attr.value_size = 4;
  big.attr.max_entries = 1;
  long fd = device.bpf(BPF_MAP_CREATE, &big.attr, sizeof big);
  EXPECT_GE(fd, 0);
  close(static_cast<int>(fd));
  big.later[40] = 1;
  EXPECT_EQ(device.bpf(BPF_MAP_CREATE, &big.attr, sizeof big), -E2BIG);
  big.later[40] = 0;
  reinterpret_cast<uint8_t*>(&big.attr)[sizeof big.attr - 1] = 1;  // behind the last field of MAP_CREATE
  EXPECT_EQ(device.bpf(BPF_MAP_CREATE, &big.attr, sizeof big.attr), -EINVAL);
  EXPECT_EQ(device.bpf(BPF_MAP_CREATE, nullptr, sizeof big.attr), -EFAULT);
  EXPECT_EQ(device.bpf(12345, &big.attr, sizeof big.attr), -EINVAL);
  // Short attributes of old callers: the rest counts as zero.
  fd = device.bpf(BPF_MAP_CREATE, &big.attr, 20);
  EXPECT_GE(fd, 0);
  close(static_cast<int>(fd));
}

TEST_F(MapCommands, HandlesAllowOnlyWhatTheyWereOpenedFor) {
  int read_only = array(4, BPF_F_RDONLY);
  int write_only = array(4, BPF_F_WRONLY);
  uint64_t value = 0;
  EXPECT_EQ(lookup(read_only, 0, value), 0);
  EXPECT_EQ(update(read_only, 0, 1), -EPERM);
  EXPECT_EQ(lookup(write_only, 0, value), -EPERM);
  EXPECT_EQ(update(write_only, 0, 1), 0);
  close(read_only);
  close(write_only);
}

TEST_F(MapCommands, AFrozenMapTakesNoMoreWrites) {
  int fd = array();
  auto attr = zero();
  attr.map_fd = static_cast<uint32_t>(fd);
  ASSERT_EQ(update(fd, 0, 5), 0);
  EXPECT_EQ(call(BPF_MAP_FREEZE, attr), 0);
  EXPECT_EQ(update(fd, 0, 6), -EPERM);
  EXPECT_EQ(call(BPF_MAP_FREEZE, attr), -EPERM);
  uint64_t value = 0;
  EXPECT_EQ(lookup(fd, 0, value), 0);
  EXPECT_EQ(value, 5u);
  close(fd);
}

TEST_F(MapCommands, MmapShowsTheElements) {
  int fd = array(4, BPF_F_MMAPABLE);
  ASSERT_GE(fd, 0);
  auto* values = static_cast<uint64_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(values, MAP_FAILED);
  ASSERT_EQ(update(fd, 3, 99), 0);
  EXPECT_EQ(values[3], 99u);
  values[1] = 11;
  uint64_t value = 0;
  EXPECT_EQ(lookup(fd, 1, value), 0);
  EXPECT_EQ(value, 11u);
  auto attr = zero();
  attr.map_fd = static_cast<uint32_t>(fd);
  EXPECT_EQ(call(BPF_MAP_FREEZE, attr), 0);
  EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  munmap(values, 4096);
  close(fd);
}

TEST_F(MapCommands, BatchesReadWriteAndDelete) {
  int fd = hash(200);
  std::vector<uint32_t> keys(150);
  std::vector<uint64_t> values(150);
  for (uint32_t i = 0; i < 150; ++i) keys[i] = i * 3, values[i] = i;
  auto attr = zero();
  attr.batch.map_fd = static_cast<uint32_t>(fd);
  attr.batch.keys = address(keys.data());
  attr.batch.values = address(values.data());
  attr.batch.count = 150;
  ASSERT_EQ(call(BPF_MAP_UPDATE_BATCH, attr), 0);
  EXPECT_EQ(attr.batch.count, 150u);

  std::set<uint32_t> seen;
  uint32_t token = 0;
  long result;
  attr = zero();
  do {
    std::vector<uint32_t> got(40);
    std::vector<uint64_t> got_values(40);
    uint64_t in = attr.batch.out_batch;
    attr = zero();
    attr.batch.in_batch = in;
    attr.batch.out_batch = address(&token);
    attr.batch.map_fd = static_cast<uint32_t>(fd);
    attr.batch.keys = address(got.data());
    attr.batch.values = address(got_values.data());
    attr.batch.count = 40;
    result = call(BPF_MAP_LOOKUP_BATCH, attr);
    for (uint32_t i = 0; i < attr.batch.count; ++i) {
      EXPECT_TRUE(seen.insert(got[i]).second);
      EXPECT_EQ(got_values[i] * 3, got[i]);
    }
  } while (result == 0);
  EXPECT_EQ(result, -ENOENT);
  EXPECT_EQ(seen.size(), 150u);

  attr = zero();
  attr.batch.map_fd = static_cast<uint32_t>(fd);
  attr.batch.keys = address(keys.data());
  attr.batch.count = 100;
  EXPECT_EQ(call(BPF_MAP_DELETE_BATCH, attr), 0);
  attr.batch.values = address(values.data());
  attr.batch.out_batch = address(&token);
  attr.batch.count = 150;
  EXPECT_EQ(call(BPF_MAP_LOOKUP_AND_DELETE_BATCH, attr), -ENOENT);
  EXPECT_EQ(attr.batch.count, 50u);
  EXPECT_EQ(device.map(fd)->entries(), 0u);
  close(fd);
}

TEST_F(MapCommands, BatchesRefuseWhatTheKernelRefuses) {
  int fd = hash();
  auto attr = zero();
  attr.batch.map_fd = static_cast<uint32_t>(fd);
  attr.batch.flags = 1;
  EXPECT_EQ(call(BPF_MAP_LOOKUP_BATCH, attr), -EINVAL);
  attr.batch.flags = 0;
  attr.batch.elem_flags = 64;
  EXPECT_EQ(call(BPF_MAP_UPDATE_BATCH, attr), -EINVAL);
  int queue = static_cast<int>(create_map(BPF_MAP_TYPE_QUEUE, 0, 4, 4));
  attr = zero();
  attr.batch.map_fd = static_cast<uint32_t>(queue);
  attr.batch.count = 1;
  EXPECT_EQ(call(BPF_MAP_LOOKUP_BATCH, attr), -524);
  close(fd);
  close(queue);
}

TEST_F(MapCommands, PerCpuValuesHaveOneCopyForEachProcessor) {
  long fd = create_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 2);
  uint32_t key = 1;
  uint64_t in[2] = {5, 6};
  uint64_t out[2] = {};
  EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, fd, &key, in), 0);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, fd, &key, out), 0);
  EXPECT_EQ(out[0], 5u);
  EXPECT_EQ(out[1], 6u);
  close(static_cast<int>(fd));
}

TEST_F(MapCommands, MapsOfMapsTakeDescriptorsAndGiveIds) {
  int inner = array();
  auto attr = zero();
  attr.map_type = BPF_MAP_TYPE_ARRAY_OF_MAPS;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 2;
  attr.inner_map_fd = static_cast<uint32_t>(inner);
  int outer = static_cast<int>(call(BPF_MAP_CREATE, attr));
  ASSERT_GE(outer, 0);
  uint32_t key = 1, id = 0;
  EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, outer, &key, &outer), -EINVAL);
  EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, outer, &key, &inner), 0);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, outer, &key, &id), 0);
  EXPECT_EQ(id, info<bpf_map_info>(inner).id);
  // The outer map keeps the inner one alive.
  close(inner);
  attr = zero();
  attr.map_id = id;
  long again = call(BPF_MAP_GET_FD_BY_ID, attr);
  EXPECT_GE(again, 0);
  close(static_cast<int>(again));
  close(outer);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
}

TEST_F(MapCommands, MapsOfSocketsTakeNoneAndTellOpenDescriptorsFromClosedOnes) {
  const uint64_t descriptor = static_cast<uint64_t>(socket(AF_INET, SOCK_DGRAM, 0));
  for (uint32_t type : {BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH}) {
    const int fd = static_cast<int>(create_map(type, 4, 8, 4));
    ASSERT_GE(fd, 0);
    EXPECT_EQ(update(fd, 1, descriptor), -EOPNOTSUPP);
    EXPECT_EQ(update(fd, 1, 9999), -EBADF);
    EXPECT_EQ(update(fd, 1, uint64_t{1} << 31), -EINVAL);
    uint64_t value = 0;
    EXPECT_EQ(lookup(fd, 1, value), -ENOENT);
    close(fd);
  }
  close(static_cast<int>(descriptor));
}

TEST_F(MapCommands, ProgramArraysHoldProgramsUntilTheirLastUserGoes) {
  int programs = static_cast<int>(create_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2));
  // r2 = map; r3 = 0; tail call; r0 = 2; exit: the array holds a program that holds the array.
  Insns insns = {{0x18, 2, 1, 0, programs}, {0, 0, 0, 0, 0},    {0xb7, 3, 0, 0, 0},
                 {0x85, 0, 0, 0, 12},       {0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}};
  int program = static_cast<int>(load(insns));
  ASSERT_GE(program, 0) << log;
  uint32_t key = 0, id = 0;
  EXPECT_EQ(element(BPF_MAP_UPDATE_ELEM, programs, &key, &programs), -EINVAL);
  ASSERT_EQ(element(BPF_MAP_UPDATE_ELEM, programs, &key, &program), 0);
  EXPECT_EQ(element(BPF_MAP_LOOKUP_ELEM, programs, &key, &id), 0);
  EXPECT_EQ(id, info<bpf_prog_info>(program).id);
  close(program);
  EXPECT_EQ(next_id(BPF_PROG_GET_NEXT_ID, 0), id);
  close(programs);
  EXPECT_EQ(next_id(BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
}

TEST_F(MapCommands, InfoTellsWhatTheMapIs) {
  auto attr = zero();
  attr.map_type = BPF_MAP_TYPE_HASH;
  attr.key_size = 4;
  attr.value_size = 16;
  attr.max_entries = 9;
  attr.map_flags = BPF_F_NO_PREALLOC;
  std::strcpy(attr.map_name, "flows.v4_1");
  int fd = static_cast<int>(call(BPF_MAP_CREATE, attr));
  auto told = info<bpf_map_info>(fd);
  EXPECT_EQ(told.type, BPF_MAP_TYPE_HASH);
  EXPECT_EQ(told.key_size, 4u);
  EXPECT_EQ(told.value_size, 16u);
  EXPECT_EQ(told.max_entries, 9u);
  EXPECT_EQ(told.map_flags, BPF_F_NO_PREALLOC);
  EXPECT_STREQ(told.name, "flows.v4_1");
  EXPECT_GT(told.id, 0u);
  // A newer caller may ask for more, as long as it is zero.
  struct {
    bpf_map_info known;
    uint64_t later;
  } newer{};
  EXPECT_EQ(read_info(fd, newer), 0);
  newer.later = 1;
  EXPECT_EQ(read_info(fd, newer), -E2BIG);
  close(fd);
}

TEST_F(MapCommands, ObjectsGoWhenTheirHandlesAreClosed) {
  int first = array();
  int second = array();
  auto first_id = info<bpf_map_info>(first).id;
  auto second_id = info<bpf_map_info>(second).id;
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), first_id);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, first_id), second_id);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, second_id), -ENOENT);
  int copy = dup(first);
  close(first);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), first_id);
  close(copy);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), second_id);
  auto attr = zero();
  attr.map_id = first_id;
  EXPECT_EQ(call(BPF_MAP_GET_FD_BY_ID, attr), -ENOENT);
  close(second);
}

TEST_F(MapCommands, TenThousandObjectsLeaveNothingOpen) {
  next_id(BPF_MAP_GET_NEXT_ID, 0);
  size_t before = open_descriptors();
  size_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    long fd = i % 2 ? array() : load(returning(2));
    ASSERT_GE(fd, 0) << i;
    close(static_cast<int>(fd));
    if (i % 500 == 0) most = std::max(most, open_descriptors());
  }
  EXPECT_LT(most, before + 200);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(MapCommands, ThreadsMayCreateUseAndCloseAtTheSameTime) {
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 300; ++i) {
        int fd = array();
        uint64_t value = 0;
        uint64_t wanted = i * 10 + static_cast<uint64_t>(t);
        failures += fd < 0 || update(fd, 1, wanted) != 0 || lookup(fd, 1, value) != 0 || value != wanted;
        if (i % 50 == 0) next_id(BPF_MAP_GET_NEXT_ID, 0);
        close(fd);
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(next_id(BPF_MAP_GET_NEXT_ID, 0), -ENOENT);
}

}  // namespace
}  // namespace xnic::device
