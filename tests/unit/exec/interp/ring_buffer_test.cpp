// SPDX-License-Identifier: Apache-2.0
// Ring buffers, dynptrs and events as programs use them, under checked mode.
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include "arch/ebpf/assemble.hpp"
#include "exec/interp/interp.hpp"
#include "exec/maps/perf_event_array.hpp"
#include "exec/maps/ringbuf.hpp"

namespace xnic::exec::interp {
namespace {

constexpr uint32_t kRingBytes = 4096;

std::shared_ptr<maps::Map> make_map(arch::ebpf::MapType type, uint32_t key, uint32_t value, uint32_t entries) {
  arch::ebpf::MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  int error = 0;
  std::shared_ptr<maps::Map> map = maps::Map::create(spec, {}, error);
  EXPECT_NE(map, nullptr) << error;
  return map;
}

class RingBuffers : public testing::Test {
 protected:
  int64_t run(std::string_view text, std::shared_ptr<maps::Map> map) {
    auto insns = arch::ebpf::assemble(text);
    EXPECT_TRUE(insns) << insns.error().message();
    auto program = std::make_shared<arch::ebpf::Program>();
    if (insns) program->insns = std::move(*insns);
    program->maps.push_back(map->spec());
    auto loaded = std::make_shared<LoadedProgram>();
    loaded->program = std::move(program);
    loaded->maps.push_back(std::move(map));
    const auto ready = engine_.load(loaded);
    EXPECT_TRUE(ready) << ready.error().message();
    uint8_t frame[64];
    for (uint8_t i = 0; i < 64; ++i) frame[i] = i;
    packet_.assign(frame);
    Verdict verdict;
    EXPECT_TRUE(engine_.run({&packet_, 1}, {&verdict, 1}, context_));
    return static_cast<int32_t>(verdict.code);
  }
  void expect_clean() { EXPECT_FALSE(engine_.violation()) << engine_.violation()->what; }
  // Header of the first record and its first word.
  static uint32_t header(const maps::Map& map) { return base::load<uint32_t>(data(map)); }
  static uint64_t word(const maps::Map& map) { return base::load<uint64_t>(data(map) + 8); }
  static uint8_t* data(const maps::Map& map) { return static_cast<const maps::RingbufMap&>(map).storage() + 8192; }

  Interp engine_{{.checked = true}};
  RunContext context_;
  packet::Packet packet_;
};

TEST_F(RingBuffers, SubmitAReservation) {
  auto map = make_map(arch::ebpf::kMapRingbuf, 0, 0, kRingBytes);
  EXPECT_EQ(run("r1 = map[0]\n r2 = 16\n r3 = 0\n call 131\n if r0 != 0 goto ok\n exit\nok:\n *(u64 *)(r0 +0) = 77\n"
                "*(u64 *)(r0 +8) = 78\n r1 = r0\n r2 = 0\n call 132\n r1 = map[0]\n r2 = 0\n call 134\n exit",
                map),
            24);
  expect_clean();
  EXPECT_EQ(header(*map), 16u);
  EXPECT_EQ(word(*map), 77u);
}

TEST_F(RingBuffers, DiscardedReservationsAreMarked) {
  auto map = make_map(arch::ebpf::kMapRingbuf, 0, 0, kRingBytes);
  EXPECT_EQ(run("r1 = map[0]\n r2 = 16\n r3 = 0\n call 131\n r1 = r0\n r2 = 0\n call 133\n r0 = 2\n exit", map), 2);
  EXPECT_EQ(header(*map), 16u | 1u << 30);
}

TEST_F(RingBuffers, AReservationMayNotBeTouchedBeyondItsEndOrAfterSubmit) {
  const std::string reserve = "r1 = map[0]\n r2 = 16\n r3 = 0\n call 131\n r6 = r0\n ";
  auto map = make_map(arch::ebpf::kMapRingbuf, 0, 0, kRingBytes);
  run(reserve + "*(u64 *)(r6 +9) = 1\n exit", map);
  EXPECT_TRUE(engine_.violation());
  run(reserve + "r1 = r6\n r2 = 0\n call 132\n *(u64 *)(r6 +0) = 1\n exit", map);
  EXPECT_TRUE(engine_.violation());
}

TEST_F(RingBuffers, OutputCopiesASample) {
  auto map = make_map(arch::ebpf::kMapRingbuf, 0, 0, kRingBytes);
  constexpr std::string_view kOutput =
      "*(u64 *)(r10 -8) = 99\n r1 = map[0]\n r2 = r10\n r2 += -8\n r3 = 8\n r4 = 0\n call 130\n exit";
  EXPECT_EQ(run(kOutput, map), 0);
  EXPECT_EQ(word(*map), 99u);
  for (int i = 1; i < 255; ++i) ASSERT_EQ(run(kOutput, map), 0);
  EXPECT_EQ(run(kOutput, map), -EAGAIN) << "full";
  expect_clean();
}

TEST_F(RingBuffers, DynptrsWriteReadAndSlice) {
  auto map = make_map(arch::ebpf::kMapRingbuf, 0, 0, kRingBytes);
  EXPECT_EQ(run("*(u64 *)(r10 -8) = 55\n r1 = map[0]\n r2 = 24\n r3 = 0\n r4 = r10\n r4 += -32\n call 198\n"
                "r1 = r10\n r1 += -32\n r2 = 8\n r3 = r10\n r3 += -8\n r4 = 8\n r5 = 0\n call 202\n"   // write at 8
                "r1 = r10\n r1 += -32\n r2 = 0\n r3 = 8\n call 203\n *(u64 *)(r0 +0) = 66\n"           // slice at 0
                "r1 = r10\n r1 += -16\n r2 = 8\n r3 = r10\n r3 += -32\n r4 = 8\n r5 = 0\n call 201\n"  // read at 8
                "r6 = *(u64 *)(r10 -16)\n"
                "r1 = r10\n r1 += -32\n r2 = 17\n r3 = r10\n r3 += -8\n r4 = 8\n r5 = 0\n call 202\n r7 = r0\n"
                "r1 = r10\n r1 += -32\n r2 = 0\n call 199\n r0 = r6\n r0 += r7\n exit",
                map),
            55 - E2BIG);
  expect_clean();
  EXPECT_EQ(word(*map), 66u);
  EXPECT_EQ(base::load<uint64_t>(data(*map) + 16), 55u);
}

TEST_F(RingBuffers, DrainHandsTheHostsSamplesToTheCallback) {
  auto map = make_map(arch::ebpf::kMapUserRingbuf, 0, 0, kRingBytes);
  uint8_t* storage = static_cast<maps::RingbufMap&>(*map).storage();
  for (uint32_t i = 0; i < 3; ++i) {
    base::store<uint32_t>(storage + 8192 + 16 * i, 8);
    base::store<uint32_t>(storage + 8192 + 16 * i + 4, 0);
    base::store<uint64_t>(storage + 8192 + 16 * i + 8, 10 + i);
  }
  base::store<uint64_t>(storage + 4096, 48);
  // The callback adds the sample to the caller's sum; 100 * samples + sum comes out.
  EXPECT_EQ(run("*(u64 *)(r10 -8) = 0\n r1 = map[0]\n r2 = subprog[body]\n r3 = r10\n r3 += -8\n r4 = 0\n call 209\n"
                "r0 *= 100\n r6 = *(u64 *)(r10 -8)\n r0 += r6\n exit\n"
                "body:\n r6 = r2\n r3 = r1\n r1 = r10\n r1 += -8\n r2 = 8\n r4 = 0\n r5 = 0\n call 201\n"
                "r1 = *(u64 *)(r10 -8)\n r2 = *(u64 *)(r6 +0)\n r2 += r1\n *(u64 *)(r6 +0) = r2\n r0 = 0\n exit",
                map),
            333);
  expect_clean();
  EXPECT_EQ(base::load<uint64_t>(storage), 48u) << "consumed";
}

class Collector : public maps::EventSink {
 public:
  int write(base::Bytes head, base::Bytes tail) override {
    samples.emplace_back(head.begin(), head.end());
    samples.back().insert(samples.back().end(), tail.begin(), tail.end());
    return 0;
  }
  std::vector<std::vector<uint8_t>> samples;
};

TEST_F(RingBuffers, PerfEventsCarryTheProgramsDataAndPacketBytes) {
  auto map = make_map(arch::ebpf::kMapPerfEventArray, 4, 4, 2);
  auto sink = std::make_shared<Collector>();
  const uint32_t key = 1;
  const uint32_t value = 0;
  ASSERT_EQ(map->host_update_reference(&key, {nullptr, nullptr, sink}, &value, 0), 0);
  const auto output = [&](uint64_t flags) {
    return run("*(u32 *)(r10 -4) = 7\n r2 = map[0]\n r3 = " + std::to_string(flags) +
                   " ll\n r4 = r10\n r4 += -4\n r5 = 4\n call 25\n exit",
               map);
  };
  EXPECT_EQ(output(1 | uint64_t{3} << 32), 0);
  EXPECT_EQ(sink->samples, (std::vector<std::vector<uint8_t>>{{7, 0, 0, 0, 0, 1, 2}}));
  EXPECT_EQ(output(0), -ENOENT);
  EXPECT_EQ(output(2), -E2BIG);
  EXPECT_EQ(output(1 | uint64_t{65} << 32), -EFAULT);
  EXPECT_EQ(output(uint64_t{1} << 60), -EINVAL);
  context_.cpu = 1;
  EXPECT_EQ(output(BPF_F_CURRENT_CPU), 0);
  expect_clean();
}

}  // namespace
}  // namespace xnic::exec::interp
