// SPDX-License-Identifier: Apache-2.0
// The live kernel as an engine: what goes in comes back. Skipped without root.
#include "exec/kernel/kernel.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <numeric>

#include "arch/ebpf/codec.hpp"

namespace xnic::exec::kernel {
namespace {

using namespace arch::ebpf;  // NOLINT: programs are written out in instructions here

constexpr Reg r0 = Reg::kR0, r1 = Reg::kR1, r2 = Reg::kR2, r3 = Reg::kR3, r4 = Reg::kR4, r6 = Reg::kR6, r10 = Reg::kR10;
constexpr uint32_t kLookup = 1, kTailCall = 12, kRedirectMap = 51, kAdjustTail = 65, kPushElem = 87;

Instruction mov(Reg dst, Operand src) { return Binary{BinaryOp::kMov, Width::k64, dst, src}; }
Instruction add(Reg dst, Operand src) { return Binary{BinaryOp::kAdd, Width::k64, dst, src}; }

std::shared_ptr<maps::Map> make_map(MapType type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0,
                                    std::shared_ptr<const MapSpec> inner = nullptr) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  spec.flags = flags;
  spec.name = "map-under-test";
  spec.inner = std::move(inner);
  int error = 0;
  return maps::Map::create(spec, {.cpus = 2}, error);
}

std::shared_ptr<LoadedProgram> make_program(std::vector<Instruction> insns,
                                            std::vector<std::shared_ptr<maps::Map>> maps = {}) {
  auto program = std::make_shared<Program>();
  program->name = "under-test";
  program->raw = encode(insns);
  program->subprograms = {{0, Slot(insns.size()), "under-test", true}};
  program->insns = std::move(insns);
  program->expected_attach_type = 37;  // BPF_XDP
  program->gpl_compatible = true;
  for (const auto& map : maps) program->maps.push_back(map->spec());
  auto loaded = std::make_shared<LoadedProgram>();
  loaded->program = std::move(program);
  loaded->maps = std::move(maps);
  return loaded;
}

class KernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "the kernel engine needs root";
  }

  void load(const std::shared_ptr<LoadedProgram>& program) {
    const auto loaded = kernel_.load(program);
    ASSERT_TRUE(loaded) << loaded.error().message();
  }
  uint32_t run(packet::Packet& packet) {
    Verdict verdict;
    const auto result = kernel_.run({&packet, 1}, {&verdict, 1}, {});
    EXPECT_TRUE(result) << result.error().message();
    return verdict.code;
  }

  Kernel kernel_;
};

packet::Packet make_packet(size_t bytes) {
  std::vector<uint8_t> frame(bytes);
  std::iota(frame.begin(), frame.end(), uint8_t{1});
  packet::Packet packet;
  packet.assign(frame);
  return packet;
}

// r0 = ++value of the key, 0 without a value.
std::vector<Instruction> count(MapIndex map, int32_t key) {
  return {Store{Size::k4, r10, -4, Imm(key)},
          LoadMap{r1, map},
          WideTail{},
          mov(r2, r10),
          add(r2, Imm(-4)),
          CallHelper{kLookup},
          Jump{JumpOp::kEq, Width::k64, r0, Imm(0), 12},
          mov(r6, r0),
          Load{Size::k8, false, r0, r6, 0},
          add(r0, Imm(1)),
          Store{Size::k8, r6, 0, r0},
          Exit{},
          mov(r0, Imm(0)),
          Exit{}};
}

TEST_F(KernelTest, GivesVerdictsBytesAndTheKernelsTime) {
  // Grows the frame by 8 and writes 42 over its first byte.
  load(make_program({mov(r6, r1), mov(r2, Imm(8)), CallHelper{kAdjustTail}, Load{Size::k4, false, r1, r6, 0},
                     Load{Size::k4, false, r2, r6, 4}, mov(r3, r1), add(r3, Imm(1)),
                     Jump{JumpOp::kGt, Width::k64, r3, r2, 9}, Store{Size::k1, r1, 0, Imm(42)}, mov(r0, Imm(3)),
                     Exit{}}));
  packet::Packet packet = make_packet(60);
  EXPECT_EQ(run(packet), 3u);
  std::vector<uint8_t> bytes = packet.bytes();
  ASSERT_EQ(bytes.size(), 68u);
  EXPECT_EQ(bytes[0], 42);
  EXPECT_EQ(bytes[59], 60);
  EXPECT_EQ(bytes[67], 0);
  EXPECT_EQ(kernel_.counters().packets, 1u);
  EXPECT_EQ(kernel_.counters().actions[3], 1u);
  EXPECT_GT(kernel_.counters().run_ns, 0u);
}

TEST_F(KernelTest, PutsTheRestOfAJumboFrameIntoFragments) {
  load(make_program({Load{Size::k4, false, r2, r1, 0}, Load{Size::k4, false, r0, r1, 4},
                     Binary{BinaryOp::kSub, Width::k64, r0, r2}, Exit{}}));
  for (size_t bytes : {14u, 1514u, 3520u, 3521u, 9000u, 65535u}) {
    packet::Packet packet = make_packet(bytes);
    const std::vector<uint8_t> before = packet.bytes();
    EXPECT_EQ(run(packet), std::min<size_t>(bytes, packet::kMaxLinearBytes));
    EXPECT_EQ(packet.bytes(), before);
  }
}

TEST_F(KernelTest, CarriesMetadataInAndOut) {
  // r0 = first word of the metadata, which becomes 7.
  load(make_program({Load{Size::k4, false, r2, r1, 8}, Load{Size::k4, false, r3, r1, 0}, mov(r4, r2), add(r4, Imm(4)),
                     mov(r0, Imm(0)), Jump{JumpOp::kGt, Width::k64, r4, r3, 8}, Load{Size::k4, false, r0, r2, 0},
                     Store{Size::k4, r2, 0, Imm(7)}, Exit{}}));
  packet::Packet packet = make_packet(64);
  packet.data_meta -= 8;
  base::store<uint32_t>(packet.data_meta, 1234);
  EXPECT_EQ(run(packet), 1234u);
  ASSERT_EQ(packet.data - packet.data_meta, 8);
  EXPECT_EQ(base::load<uint32_t>(packet.data_meta), 7u);
  EXPECT_EQ(packet.size(), 64u);
}

TEST_F(KernelTest, CopiesElementMapsBothWays) {
  for (MapType type : {kMapArray, kMapHash, kMapLruHash, kMapPercpuArray, kMapPercpuHash, kMapLruPercpuHash}) {
    auto map = make_map(type, 4, 8, 300);
    ASSERT_TRUE(map) << type;
    std::vector<uint8_t> value(map->host_value_bytes());
    for (uint32_t key = 0; key < 200; ++key) {
      for (size_t at = 0; at < value.size(); at += 8) base::store<uint64_t>(value.data() + at, key * 1000 + at);
      ASSERT_EQ(map->host_update(&key, value.data(), 0), 0);
    }
    load(make_program(count(0, 7), {map}));
    packet::Packet packet = make_packet(60);
    EXPECT_EQ(run(packet), 7001u) << type;
    EXPECT_EQ(run(packet), 7002u) << type;
    ASSERT_TRUE(kernel_.pull_maps());
    for (uint32_t key = 0; key < 200; ++key) {
      ASSERT_EQ(map->host_lookup(&key, value.data(), 0), 0) << type;
      ASSERT_EQ(base::load<uint64_t>(value.data()), key * 1000 + (key == 7 ? 2 : 0)) << type;
      if (is_percpu(type)) {
        ASSERT_EQ(base::load<uint64_t>(value.data() + 8), key * 1000 + 8) << type;
      }
    }
    const uint32_t key = 7;
    if (type != kMapArray && type != kMapPercpuArray) {
      ASSERT_EQ(map->host_erase(&key), 0);
      ASSERT_TRUE(kernel_.push_maps());
      EXPECT_EQ(run(packet), 0u) << type;
    }
  }
}

TEST_F(KernelTest, FreezesReadOnlyDataBeforeTheProgramIsVerified) {
  auto data = make_map(kMapArray, 4, 16, 1, kRdonlyProg | kMmapable);
  ASSERT_TRUE(data);
  const uint32_t key = 0;
  const uint64_t value[2] = {5, 6};
  ASSERT_EQ(data->host_update(&key, value, 0), 0);
  ASSERT_EQ(data->freeze(), 0);
  // Reads the constant 6; the branch for other values would be refused.
  load(make_program({LoadMapValue{r1, 0, 8}, WideTail{}, Load{Size::k8, false, r0, r1, 0},
                     Jump{JumpOp::kEq, Width::k64, r0, Imm(6), 5}, Load{Size::k8, false, r0, r0, 0}, Exit{}},
                    {data}));
  packet::Packet packet = make_packet(60);
  EXPECT_EQ(run(packet), 6u);
}

TEST_F(KernelTest, LoadsTailCalledProgramsToo) {
  auto table = make_map(kMapProgArray, 4, 4, 4);
  ASSERT_TRUE(table);
  auto target = make_program({mov(r0, Imm(77)), Exit{}});
  const uint32_t key = 2;
  maps::Reference reference;
  reference.program = target;
  ASSERT_EQ(table->host_update_reference(&key, reference, nullptr, 0), 0);
  load(make_program({LoadMap{r2, 0}, WideTail{}, mov(r3, Imm(2)), CallHelper{kTailCall}, mov(r0, Imm(1)), Exit{}},
                    {table}));
  packet::Packet packet = make_packet(60);
  EXPECT_EQ(run(packet), 77u);
}

TEST_F(KernelTest, RefillsQueuesAndStacksInOrder) {
  for (MapType type : {kMapQueue, kMapStack}) {
    auto map = make_map(type, 0, 8, 8);
    ASSERT_TRUE(map);
    for (uint64_t value : {1, 2, 3}) ASSERT_EQ(map->push(&value, 0), 0);
    load(make_program({Store{Size::k8, r10, -8, Imm(4)}, LoadMap{r1, 0}, WideTail{}, mov(r2, r10), add(r2, Imm(-8)),
                       mov(r3, Imm(0)), CallHelper{kPushElem}, Exit{}},
                      {map}));
    packet::Packet packet = make_packet(60);
    EXPECT_EQ(run(packet), 0u);
    ASSERT_TRUE(kernel_.pull_maps());
    std::vector<uint64_t> values;
    for (uint64_t value = 0; map->pop(&value) == 0;) values.push_back(value);
    EXPECT_EQ(values, type == kMapQueue ? (std::vector<uint64_t>{1, 2, 3, 4}) : (std::vector<uint64_t>{4, 3, 2, 1}));
  }
}

TEST_F(KernelTest, NamesTheEntryThatTheKernelDoesNotTake) {
  auto devices = make_map(kMapDevmap, 4, 4, 4);
  ASSERT_TRUE(devices);
  const uint32_t key = 1;
  const uint32_t nowhere = 999'999;
  ASSERT_EQ(devices->host_update(&key, &nowhere, 0), 0);
  const auto loaded = kernel_.load(make_program(
      {LoadMap{r1, 0}, WideTail{}, mov(r2, Imm(1)), mov(r3, Imm(0)), CallHelper{kRedirectMap}, Exit{}}, {devices}));
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message().find("01000000"), std::string::npos) << loaded.error().message();
}

TEST_F(KernelTest, SaysWhyItRefusesAProgramAndAPacket) {
  const auto loaded = kernel_.load(make_program({mov(r0, r2), Exit{}}));
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, base::ErrorKind::kIo);
  EXPECT_NE(loaded.error().detail.find("R2 !read_ok"), std::string::npos) << loaded.error().detail;

  load(make_program({mov(r0, Imm(2)), Exit{}}));
  packet::Packet packet = make_packet(60);
  packet.rx_queue = 100;
  Verdict verdict;
  const auto result = kernel_.run({&packet, 1}, {&verdict, 1}, {});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().detail.find("queue 100"), std::string::npos) << result.error().detail;
}

TEST(Kernel, WithoutRootSaysSo) {
  if (geteuid() == 0) GTEST_SKIP() << "has root";
  Kernel kernel;
  const auto loaded = kernel.load(make_program({mov(r0, Imm(2)), Exit{}}));
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, base::ErrorKind::kIo);
  EXPECT_NE(loaded.error().detail.find("needs root"), std::string::npos);
}

}  // namespace
}  // namespace xnic::exec::kernel
