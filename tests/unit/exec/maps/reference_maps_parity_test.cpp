// SPDX-License-Identifier: Apache-2.0
// Maps that hold references (inner maps, interfaces, CPUs, sockets, events) against the live kernel's.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/rng.hpp"
#include "exec/engine.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/perf_event_array.hpp"
#include "exec/maps/reference_maps.hpp"
#include "kernel_map.hpp"

namespace xnic::exec::maps {
namespace {

using arch::ebpf::MapSpec;
using test::KernelMap;

#define SKIP_WITHOUT_BPF()     \
  if (!KernelMap::permitted()) \
  GTEST_SKIP() << "bpf(2) is not permitted here, so there is no kernel map to compare with."

MapSpec spec_of(uint32_t type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  spec.flags = flags;
  return spec;
}

MapOptions options() {
  MapOptions result;
  result.cpus = test::possible_cpus();
  return result;
}

std::shared_ptr<Map> create(const MapSpec& spec) {
  int error = 0;
  auto map = Map::create(spec, options(), error);
  EXPECT_EQ(error, 0);
  return map;
}

TEST(ReferenceMapParity, CreationChecksAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  KernelMap inner_kernel(spec_of(arch::ebpf::kMapArray, 4, 8, 2));
  auto inner = std::make_shared<const MapSpec>(spec_of(arch::ebpf::kMapArray, 4, 8, 2));
  for (uint32_t type :
       {arch::ebpf::kMapProgArray, arch::ebpf::kMapPerfEventArray, arch::ebpf::kMapArrayOfMaps,
        arch::ebpf::kMapHashOfMaps, arch::ebpf::kMapDevmap, arch::ebpf::kMapDevmapHash, arch::ebpf::kMapCpumap,
        arch::ebpf::kMapXskmap, arch::ebpf::kMapSockmap, arch::ebpf::kMapSockhash})
    for (uint32_t bit = 0; bit <= 14; ++bit)
      for (uint32_t key : {0u, 1u, 4u, 8u})
        for (uint32_t value : {0u, 1u, 4u, 8u, 12u})
          for (uint32_t entries : {0u, 1u, 2u}) {
            MapSpec spec = spec_of(type, key, value, entries, bit == 0 ? 0 : 1u << (bit - 1));
            spec.inner = inner;
            bool of_maps = type == arch::ebpf::kMapArrayOfMaps || type == arch::ebpf::kMapHashOfMaps;
            KernelMap kernel(spec, of_maps ? inner_kernel.fd() : -1);
            int error = 0;
            auto ours = Map::create(spec, options(), error);
            ASSERT_EQ(error, kernel.fd() < 0 ? kernel.fd() : 0)
                << "type " << type << " key " << key << " value " << value << " entries " << entries << " bit " << bit;
          }
}

// Which maps fit as inner maps: all pairs of a list of specs.
TEST(ReferenceMapParity, InnerMapsFitWhenTheKernelSaysSo) {
  SKIP_WITHOUT_BPF();
  using namespace arch::ebpf;
  const MapSpec kSpecs[] = {spec_of(kMapArray, 4, 8, 2),
                            spec_of(kMapArray, 4, 8, 3),
                            spec_of(kMapArray, 4, 12, 2),
                            spec_of(kMapArray, 4, 8, 2, kInnerMap),
                            spec_of(kMapArray, 4, 8, 3, kInnerMap),
                            spec_of(kMapHash, 4, 8, 2),
                            spec_of(kMapHash, 4, 8, 9),
                            spec_of(kMapHash, 8, 8, 2),
                            spec_of(kMapHash, 4, 8, 2, kNoPrealloc),
                            spec_of(kMapPercpuArray, 4, 8, 2),
                            spec_of(kMapPercpuArray, 4, 8, 3),
                            spec_of(kMapDevmap, 4, 4, 2),
                            spec_of(kMapXskmap, 4, 4, 2),
                            spec_of(kMapXskmap, 4, 4, 3),
                            spec_of(kMapLruHash, 4, 8, 9),
                            spec_of(kMapProgArray, 4, 4, 2),
                            spec_of(kMapArray, 4, 8, 2, kRdonly)};
  for (uint32_t outer_type : {kMapArrayOfMaps, kMapHashOfMaps})
    for (const MapSpec& wanted : kSpecs) {
      KernelMap kernel_template(wanted);
      ASSERT_GE(kernel_template.fd(), 0);
      MapSpec outer = spec_of(outer_type, 4, 4, 4);
      outer.inner = std::make_shared<const MapSpec>(wanted);
      KernelMap kernel(outer, kernel_template.fd());
      int error = 0;
      auto ours = Map::create(outer, options(), error);
      ASSERT_EQ(error, kernel.fd() < 0 ? kernel.fd() : 0) << "template type " << wanted.type;
      if (ours == nullptr) continue;
      for (const MapSpec& candidate : kSpecs) {
        KernelMap kernel_inner(candidate);
        Reference reference;
        reference.map = create(candidate);
        uint32_t key = 1, fd = static_cast<uint32_t>(kernel_inner.fd()), id = 77;
        int expected = kernel.update(&key, &fd, 0);
        EXPECT_EQ(ours->host_update_reference(&key, reference, &id, 0), expected)
            << "template type " << wanted.type << ", map type " << candidate.type;
        if (expected == 0) {
          EXPECT_EQ(ours->inner(&key), reference.map);
        }
      }
    }
}

TEST(ReferenceMapParity, MapsOfMapsAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  using namespace arch::ebpf;
  for (uint32_t type : {kMapArrayOfMaps, kMapHashOfMaps}) {
    MapSpec inner = spec_of(kMapHash, 4, 8, 2), outer = spec_of(type, 4, 4, 4);
    outer.inner = std::make_shared<const MapSpec>(inner);
    KernelMap kernel_inner(inner);
    KernelMap kernel(outer, kernel_inner.fd());
    auto ours = create(outer);
    Reference reference;
    reference.map = create(inner);
    base::Rng rng(type);
    for (int step = 0; step < 1500 && !HasFailure(); ++step) {
      auto key = static_cast<uint32_t>(rng.below(6));
      uint64_t flags = rng.below(5);
      uint32_t fd = static_cast<uint32_t>(kernel_inner.fd()), id = 77, theirs = 0, mine = 0;
      switch (rng.below(4)) {
        case 0:
          EXPECT_EQ(ours->host_update_reference(&key, reference, &id, flags), kernel.update(&key, &fd, flags)) << flags;
          break;
        case 1:
          EXPECT_EQ(ours->host_erase(&key), kernel.erase(&key));
          break;
        case 2:
          EXPECT_EQ(ours->host_lookup(&key, &mine, flags), kernel.lookup(&key, &theirs, flags));
          EXPECT_EQ(mine != 0, theirs != 0);
          break;
        default:
          EXPECT_EQ(ours->host_lookup_and_delete(&key, &mine, 0), kernel.lookup_and_delete(&key, &theirs, 0));
      }
    }
    uint32_t key = 0, fd = 9999, id = 1;
    EXPECT_EQ(ours->host_update(&key, &id, 0), kernel.update(&key, &fd, 0)) << "a descriptor that is no map";
  }
}

// The maps of redirect targets with values that name nothing but loopback, which exists everywhere.
TEST(ReferenceMapParity, RedirectTargetsAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  using namespace arch::ebpf;
  for (uint32_t type : {kMapDevmap, kMapDevmapHash, kMapCpumap})
    for (uint32_t value_size : {4u, 8u}) {
      MapSpec spec = spec_of(type, 4, value_size, 4);
      KernelMap kernel(spec);
      auto ours = create(spec);
      base::Rng rng(type * 10 + value_size);
      int steps = type == kMapCpumap ? 150 : 1500;  // the kernel starts a thread for each cpumap entry
      for (int step = 0; step < steps && !HasFailure(); ++step) {
        auto key = static_cast<uint32_t>(rng.below(6));
        uint64_t flags = rng.below(4);
        uint32_t loopback = static_cast<uint32_t>(rng.below(2));
        uint32_t queue = rng.chance(1, 6) ? 16385 : static_cast<uint32_t>(rng.below(3));
        int32_t value[2] = {static_cast<int32_t>(type == kMapCpumap ? queue : loopback),
                            static_cast<int32_t>(rng.below(2)) - 1};
        uint32_t theirs[2] = {0, 0}, mine[2] = {0, 0};
        switch (rng.below(5)) {
          case 0:
          case 1:
            EXPECT_EQ(ours->host_update(&key, value, flags), kernel.update(&key, value, flags))
                << "type " << type << " key " << key << " value " << value[0] << " flags " << flags;
            break;
          case 2:
            EXPECT_EQ(ours->host_erase(&key), kernel.erase(&key)) << "type " << type << " key " << key;
            break;
          case 3:
            EXPECT_EQ(ours->host_lookup(&key, mine, 0), kernel.lookup(&key, theirs, 0)) << "type " << type;
            EXPECT_EQ(mine[0], theirs[0]);
            EXPECT_EQ(mine[1], theirs[1]);
            break;
          default:
            EXPECT_EQ(ours->host_lookup_and_delete(&key, mine, 0), kernel.lookup_and_delete(&key, theirs, 0));
            if (type != kMapDevmapHash)
              EXPECT_EQ(ours->host_next_key(&key, mine), kernel.next_key(&key, theirs));
            else
              EXPECT_EQ(ours->host_next_key(nullptr, mine) == 0, kernel.next_key(nullptr, theirs) == 0);
        }
      }
      int32_t bad[2] = {1, 9999};
      uint32_t key = 0;
      if (value_size == 8) {
        EXPECT_EQ(ours->host_update(&key, bad, 0), kernel.update(&key, bad, 0)) << "a descriptor that is no program";
        bad[0] = 0;
        EXPECT_EQ(ours->host_update(&key, bad, 0), kernel.update(&key, bad, 0)) << "a program but no target";
      }
    }
}

TEST(ReferenceMapParity, EmptyReferenceArraysAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  using namespace arch::ebpf;
  for (uint32_t type : {kMapProgArray, kMapPerfEventArray, kMapXskmap}) {
    KernelMap kernel(spec_of(type, 4, 4, 3));
    auto ours = create(spec_of(type, 4, 4, 3));
    for (uint32_t key : {0u, 2u, 3u, 100u}) {
      uint32_t theirs = 0, mine = 0, fd = 9999;
      EXPECT_EQ(ours->host_lookup(&key, &mine, 0), kernel.lookup(&key, &theirs, 0)) << type << " " << key;
      EXPECT_EQ(ours->host_lookup(&key, &mine, 4), kernel.lookup(&key, &theirs, 4)) << type << " " << key;
      EXPECT_EQ(ours->host_erase(&key), kernel.erase(&key)) << type << " " << key;
      EXPECT_EQ(ours->host_lookup_and_delete(&key, &mine, 0), kernel.lookup_and_delete(&key, &theirs, 0)) << type;
      EXPECT_EQ(ours->host_next_key(&key, &mine), kernel.next_key(&key, &theirs)) << type << " " << key;
      // The xskmap's descriptor check is the device's, so a bad one is for the other two types only.
      if (type == kMapXskmap) continue;
      for (uint64_t flags : {0u, 1u, 2u, 3u, 8u})
        EXPECT_EQ(ours->host_update(&key, &fd, flags), kernel.update(&key, &fd, flags)) << type << " " << key;
    }
  }
}

TEST(SocketMap, AnswersAsTheKernelsEmptyOne) {
  SKIP_WITHOUT_BPF();
  using namespace arch::ebpf;
  const int udp = socket(AF_INET, SOCK_DGRAM, 0);  // unconnected, which neither map takes
  ASSERT_GE(udp, 0);
  for (uint32_t type : {kMapSockmap, kMapSockhash})
    for (uint32_t value_size : {4u, 8u})
      for (uint32_t key : {0u, 2u, 3u, 100u}) {
        const MapSpec spec = spec_of(type, 4, value_size, 3);
        const std::string what =
            "type " + std::to_string(type) + " value " + std::to_string(value_size) + " key " + std::to_string(key);
        KernelMap kernel(spec);
        ASSERT_GE(kernel.fd(), 0);
        auto ours = create(spec);
        uint64_t mine = 0, theirs = 0;
        for (uint64_t flags : {0u, 4u})
          EXPECT_EQ(ours->host_lookup(&key, &mine, flags), kernel.lookup(&key, &theirs, flags)) << what;
        EXPECT_EQ(ours->host_erase(&key), kernel.erase(&key)) << what;
        EXPECT_EQ(ours->host_lookup_and_delete(&key, &mine, 0), kernel.lookup_and_delete(&key, &theirs, 0)) << what;
        EXPECT_EQ(ours->host_next_key(&key, &mine), kernel.next_key(&key, &theirs)) << what;
        EXPECT_EQ(mine, theirs) << what;
        EXPECT_EQ(ours->host_next_key(nullptr, &mine), kernel.next_key(nullptr, &theirs)) << what;
        EXPECT_EQ(mine, theirs) << what;
        for (uint64_t descriptor : {static_cast<uint64_t>(udp), uint64_t{0x80000000}})
          for (uint64_t flags : {0u, 4u})
            EXPECT_EQ(ours->host_update(&key, &descriptor, flags), kernel.update(&key, &descriptor, flags))
                << what << " descriptor " << descriptor << " flags " << flags;
        EXPECT_EQ(ours->lookup(&key, 0), nullptr);
        EXPECT_EQ(ours->entries(), 0u);
      }
  close(udp);
}

TEST(XskMap, KeepsTheKernelsFlagRules) {
  auto map = create(spec_of(arch::ebpf::kMapXskmap, 4, 4, 2));
  uint32_t key = 1, socket = 0, other = 7, out = 2;
  EXPECT_EQ(map->host_update(&key, &socket, kExist), -ENOENT);
  EXPECT_EQ(map->lookup(&key, 0), nullptr);
  EXPECT_EQ(map->host_update(&key, &socket, kNoExist), 0);
  EXPECT_NE(map->lookup(&key, 0), nullptr);
  EXPECT_EQ(map->host_update(&key, &socket, kNoExist), 0) << "the same socket again";
  EXPECT_EQ(map->host_update(&key, &other, kNoExist), -EEXIST);
  EXPECT_EQ(map->host_update(&out, &other, 0), -E2BIG);
  EXPECT_EQ(map->host_update(&key, &other, 3), -EINVAL);
  EXPECT_EQ(map->host_lookup(&key, &out, 0), -EOPNOTSUPP);
  EXPECT_EQ(map->host_erase(&key), 0);
  EXPECT_EQ(map->entries(), 0u);
}

std::shared_ptr<const LoadedProgram> program_of(uint32_t id, uint32_t attach_type, uint32_t load_flags = 0) {
  auto code = std::make_shared<arch::ebpf::Program>();
  code->expected_attach_type = attach_type;
  code->load_flags = load_flags;
  auto loaded = std::make_shared<LoadedProgram>();
  loaded->id = id;
  loaded->program = code;
  return loaded;
}

TEST(ProgArray, GivesTheProgramAndRefusesAMixOfFragmentSupport) {
  auto map = create(spec_of(arch::ebpf::kMapProgArray, 4, 4, 2));
  Reference plain, frags;
  plain.program = program_of(5, BPF_XDP);
  frags.program = program_of(6, BPF_XDP, 1u << 5);
  uint32_t key = 1, value = 0;
  EXPECT_EQ(map->host_update_reference(&key, plain, &value, 0), 0);
  EXPECT_EQ(map->host_update_reference(&key, frags, &value, 0), -EINVAL);
  EXPECT_EQ(map->program(1), plain.program);
  EXPECT_EQ(map->program(0), nullptr);
  EXPECT_EQ(map->program(2), nullptr);
  EXPECT_EQ(map->host_lookup(&key, &value, 0), 0);
  EXPECT_EQ(value, 5u);
  EXPECT_EQ(map->host_erase(&key), 0);
  EXPECT_EQ(map->program(1), nullptr);
}

TEST(Devmap, AnEntrysProgramMustBeLoadedForDevmaps) {
  for (uint32_t type : {arch::ebpf::kMapDevmap, arch::ebpf::kMapDevmapHash}) {
    auto map = create(spec_of(type, 4, 8, 2));
    Reference right, wrong;
    right.program = program_of(5, BPF_XDP_DEVMAP);
    wrong.program = program_of(6, BPF_XDP);
    uint32_t key = 1, value[2] = {3, 12}, read[2] = {};
    EXPECT_EQ(map->host_update_reference(&key, wrong, value, 0), -EINVAL);
    EXPECT_EQ(map->host_update_reference(&key, right, value, 0), 0);
    EXPECT_EQ(map->host_lookup(&key, read, 0), 0);
    EXPECT_EQ(read[0], 3u);
    EXPECT_EQ(read[1], 5u);
    EXPECT_EQ(map->program(1), right.program);
    EXPECT_EQ(std::memcmp(map->lookup(&key, 0), read, 8), 0);
    value[1] = 0;
    EXPECT_EQ(map->host_update(&key, value, 0), 0);
    EXPECT_EQ(map->program(1), nullptr);
  }
}

TEST(PerfEventArray, ARingHoldsPerfRecordsAndReportsWhatWasLost) {
  auto map = create(spec_of(arch::ebpf::kMapPerfEventArray, 4, 4, 2));
  auto& array = dynamic_cast<PerfEventArrayMap&>(*map);
  int fd = memfd_create("ring", 0);
  auto ring = PerfRing::make(1, fd);
  ASSERT_NE(ring, nullptr);
  EXPECT_EQ(PerfRing::make(3, -1), nullptr);
  Reference reference;
  reference.events = ring;
  uint32_t key = 0;
  EXPECT_EQ(map->host_update_reference(&key, reference, &key, 0), 0);
  const uint8_t head[5] = {1, 2, 3, 4, 5}, tail[2] = {6, 7};
  EXPECT_EQ(array.output(2, head, tail), -E2BIG);
  EXPECT_EQ(array.output(1, head, tail), -ENOENT);
  Memory view;
  ASSERT_TRUE(view.allocate_in(fd, 2 * kPageBytes));
  uint64_t position = 0, read = 0;
  int written = 0;
  while (array.output(0, head, tail) == 0) ++written;
  EXPECT_EQ(written, 4096 / 24);
  EXPECT_EQ(ring->lost(), 1u);
  position = base::load<uint64_t>(view.data() + 1024);
  EXPECT_EQ(position, uint64_t{24} * written);
  const uint8_t* record = view.data() + kPageBytes;
  EXPECT_EQ(base::load<uint32_t>(record), 9u) << "PERF_RECORD_SAMPLE";
  EXPECT_EQ(base::load<uint16_t>(record + 6), 24u);
  EXPECT_EQ(base::load<uint32_t>(record + 8), 12u);
  EXPECT_EQ(std::memcmp(record + 12, "\1\2\3\4\5\6\7\0\0\0\0\0", 12), 0);
  // The host reads all: the next sample follows a note of the loss, and both wrap at the end of the data.
  base::store<uint64_t>(view.data() + 1032, position);
  read = position;
  EXPECT_EQ(array.output(0, head, tail), 0);
  EXPECT_EQ(base::load<uint64_t>(view.data() + 1024), read + 48);
  record = view.data() + kPageBytes + read % 4096;
  EXPECT_EQ(base::load<uint32_t>(record), 2u) << "PERF_RECORD_LOST";
  close(fd);
}

}  // namespace
}  // namespace xnic::exec::maps
