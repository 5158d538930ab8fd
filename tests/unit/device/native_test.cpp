// SPDX-License-Identifier: Apache-2.0
// The native engine with its compiler: what takes more than one function (tail calls, callbacks, subprograms, may_goto,
// timers), beside the interpreter on the same program; and the code on disk. Programs are given in the assembler's
// text, without facts, so nothing is left out of the translation.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "arch/ebpf/assemble.hpp"
#include "arch/ebpf/codec.hpp"
#include "device/native_cache.hpp"
#include "device/native_images.hpp"
#include "exec/interp/interp.hpp"
#include "exec/native/native.hpp"

namespace xnic::device {
namespace {

namespace fs = std::filesystem;
using arch::ebpf::MapSpec;
using exec::LoadedProgram;
using exec::maps::Map;

std::shared_ptr<Map> make_map(arch::ebpf::MapType type, uint32_t key, uint32_t value, uint32_t entries) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  int error = 0;
  std::shared_ptr<Map> map = Map::create(spec, {}, error);
  EXPECT_NE(map, nullptr) << error;
  return map;
}

std::shared_ptr<LoadedProgram> program(std::string_view text, std::vector<std::shared_ptr<Map>> maps = {}) {
  auto insns = arch::ebpf::assemble(text);
  EXPECT_TRUE(insns) << insns.error().message();
  auto inner = std::make_shared<arch::ebpf::Program>();
  if (insns) inner->insns = std::move(*insns);
  inner->raw = arch::ebpf::encode(inner->insns);
  auto loaded = std::make_shared<LoadedProgram>();
  for (const auto& map : maps) inner->maps.push_back(map->spec());
  loaded->program = std::move(inner);
  loaded->maps = std::move(maps);
  return loaded;
}

class NativeTest : public testing::Test {
 protected:
  NativeTest() {
    setenv("XNIC_CACHE", "off", 1);  // the compiler is what is tested
    install_native();
  }
  ~NativeTest() override { exec::native::install({}); }

  // Runs one packet on both engines; their verdicts and bytes must be equal.
  uint32_t both(const std::shared_ptr<LoadedProgram>& loaded) {
    exec::interp::Interp interp;
    exec::native::Native native;
    uint32_t codes[2] = {};
    std::vector<uint8_t> bytes[2];
    exec::Engine* engines[] = {&interp, &native};
    for (size_t i = 0; i < 2; ++i) {
      const auto ready = engines[i]->load(loaded);
      EXPECT_TRUE(ready) << ready.error().message();
      if (!ready) return ~0u;
      std::vector<uint8_t> frame(64);
      for (uint8_t b = 0; b < 64; ++b) frame[b] = b;
      exec::packet::Packet packet;
      packet.assign(frame);
      exec::Verdict verdict;
      EXPECT_TRUE(engines[i]->run({&packet, 1}, {&verdict, 1}, context_));
      codes[i] = verdict.code;
      bytes[i] = packet.bytes();
    }
    EXPECT_EQ(codes[0], codes[1]);
    EXPECT_EQ(bytes[0], bytes[1]);
    return codes[1];
  }

  base::ManualClock clock_{1'000'000};
  exec::RunContext context_{.clock = &clock_};
};

TEST_F(NativeTest, SubprogramsKeepTheirCallersRegistersAndHaveZeroedStacksOfTheirOwn) {
  EXPECT_EQ(both(program(
                "r6 = 5\n *(u64 *)(r10 -8) = 9\n r1 = 2\n call f\n r0 += r6\n r1 = *(u64 *)(r10 -8)\n r0 += r1\n exit\n"
                "f: r6 = 100\n r0 = *(u64 *)(r10 -8)\n *(u64 *)(r10 -8) = 7\n r0 += r1\n exit")),
            16u);
}

TEST_F(NativeTest, CallbacksOfLoopsRunAndStop) {
  // Adds i to the stack word until i is 4.
  EXPECT_EQ(
      both(program("*(u64 *)(r10 -8) = 0\n r1 = 10\n r2 = subprog[f]\n r3 = r10\n r3 += -8\n r4 = 0\n call 181\n"
                   "r1 = *(u64 *)(r10 -8)\n r0 *= 100\n r0 += r1\n exit\n"
                   "f: r3 = *(u64 *)(r2 +0)\n r3 += r1\n *(u64 *)(r2 +0) = r3\n r0 = 0\n if r1 != 4 goto out\n r0 = 1\n"
                   "out: exit")),
      510u);
}

TEST_F(NativeTest, TailCallsReplaceTheFrameTheyHappenIn) {
  auto programs = make_map(arch::ebpf::kMapProgArray, 4, 4, 4);
  const uint32_t at = 1;
  ASSERT_EQ(programs->host_update_reference(
                &at, {.program = program("r2 = 14\n call 44\n r0 += 30\n exit"), .map = {}, .events = {}}, nullptr, 0),
            0);
  // From the entry: the other program's result. From a subprogram: its caller goes on.
  EXPECT_EQ(both(program("r2 = map[0]\n r3 = 1\n call 12\n r0 = 1\n exit", {programs})), 30u);
  EXPECT_EQ(both(program("call f\n r0 += 1\n exit\n f: r2 = map[0]\n r3 = 1\n call 12\n r0 = 1\n exit", {programs})),
            31u);
  // An empty slot and one behind the end: the program goes on with the error.
  EXPECT_EQ(both(program("r2 = map[0]\n r3 = 2\n call 12\n exit", {programs})), uint32_t(-ENOENT));
  EXPECT_EQ(both(program("r2 = map[0]\n r3 = 4\n call 12\n exit", {programs})), uint32_t(-E2BIG));
}

TEST_F(NativeTest, TailCallsEndAfterThirtyThree) {
  auto programs = make_map(arch::ebpf::kMapProgArray, 4, 4, 1);
  auto counts = make_map(arch::ebpf::kMapArray, 4, 8, 1);
  const auto itself = program(
      "r6 = r1\n *(u32 *)(r10 -4) = 0\n r2 = r10\n r2 += -4\n r1 = map[1]\n call 1\n if r0 == 0 goto out\n"
      "r1 = *(u64 *)(r0 +0)\n r1 += 1\n *(u64 *)(r0 +0) = r1\n r7 = r1\n r1 = r6\n r2 = map[0]\n r3 = 0\n call 12\n r0 "
      "= r7\n"
      "out: exit",
      {programs, counts});
  const uint32_t at = 0;
  ASSERT_EQ(programs->host_update_reference(&at, {.program = itself, .map = {}, .events = {}}, nullptr, 0), 0);
  exec::native::Native native;
  ASSERT_TRUE(native.load(itself));
  exec::packet::Packet packet;
  packet.assign(std::vector<uint8_t>(64));
  exec::Verdict verdict;
  ASSERT_TRUE(native.run({&packet, 1}, {&verdict, 1}, context_));
  EXPECT_EQ(verdict.code, 34u);
  ASSERT_TRUE(native.run({&packet, 1}, {&verdict, 1}, context_));  // the count starts anew with every packet
  EXPECT_EQ(verdict.code, 68u);
  programs->erase(&at);
}

TEST_F(NativeTest, ContextFieldsAreReadWithoutFacts) {
  EXPECT_EQ(both(program("r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n r3 -= r2\n r0 = *(u32 *)(r1 +12)\n r0 += r3\n"
                         "r4 = *(u8 *)(r2 +9)\n r0 += r4\n *(u8 *)(r2 +3) = 90\n exit")),
            64u + 1 + 9);
}

TEST_F(NativeTest, RedirectsReachTheVerdict) {
  exec::native::Native native;
  ASSERT_TRUE(native.load(program("r1 = 7\n r2 = 0\n call 23\n exit")));
  std::vector<exec::packet::Packet> packets(3);
  std::vector<exec::Verdict> verdicts(3);
  for (auto& packet : packets) packet.assign(std::vector<uint8_t>(64));
  ASSERT_TRUE(native.run(packets, verdicts, context_));
  for (const exec::Verdict& verdict : verdicts) {
    EXPECT_EQ(verdict.code, arch::ebpf::kXdpRedirect);
    EXPECT_EQ(verdict.redirect, (exec::Redirect{exec::RedirectKind::kInterface, 7, 0, 0}));
  }
  EXPECT_EQ(native.counters().packets, 3u);
  EXPECT_EQ(native.counters().bytes, 192u);
  EXPECT_EQ(native.counters().actions[arch::ebpf::kXdpRedirect], 3u);
}

// Counts on an atomic counter that all workers share, on a copy of each CPU, and per address in a hash map.
TEST_F(NativeTest, WorkersShareMaps) {
  constexpr uint32_t kWorkers = 3, kRounds = 300, kBatch = 32;
  MapSpec spec;
  spec.type = arch::ebpf::kMapPercpuArray;
  spec.key_size = 4;
  spec.value_size = 8;
  spec.max_entries = 1;
  int error = 0;
  const std::shared_ptr<Map> percpu = Map::create(spec, {.cpus = kWorkers}, error);
  ASSERT_NE(percpu, nullptr);
  const auto shared = make_map(arch::ebpf::kMapArray, 4, 8, 1);
  const auto flows = make_map(arch::ebpf::kMapHash, 4, 8, 8);
  const auto loaded = program(
      "*(u32 *)(r10 -4) = 0\n *(u64 *)(r10 -16) = 0\n r6 = *(u32 *)(r1 +0)\n"
      "r1 = map[0]\n r2 = r10\n r2 += -4\n call 1\n if r0 == 0 goto out\n r1 = 1\n lock *(u64 *)(r0 +0) += r1\n"
      "r1 = map[1]\n r2 = r10\n r2 += -4\n call 1\n if r0 == 0 goto out\n r1 = *(u64 *)(r0 +0)\n r1 += 1\n"
      "*(u64 *)(r0 +0) = r1\n r1 = *(u8 *)(r6 +0)\n *(u32 *)(r10 -4) = r1\n"
      "r1 = map[2]\n r2 = r10\n r2 += -4\n r3 = r10\n r3 += -16\n r4 = 1\n call 2\n"
      "r1 = map[2]\n r2 = r10\n r2 += -4\n call 1\n if r0 == 0 goto out\n r1 = 1\n lock *(u64 *)(r0 +0) += r1\n"
      "r0 = 2\n exit\n out: r0 = 1\n exit",
      {shared, percpu, flows});
  std::atomic<uint32_t> passed{0};
  std::vector<std::thread> workers;
  for (uint32_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      exec::native::Native native;
      if (!native.load(loaded)) return;
      std::vector<exec::packet::Packet> packets(kBatch);
      std::vector<exec::Verdict> verdicts(kBatch);
      for (uint8_t i = 0; i < kBatch; ++i) packets[i].assign(std::vector<uint8_t>(64, i % 8));
      const exec::RunContext context{.clock = &clock_, .cpu = worker};
      for (uint32_t round = 0; round < kRounds; ++round)
        if (!native.run(packets, verdicts, context)) return;
      passed += static_cast<uint32_t>(native.counters().actions[arch::ebpf::kXdpPass]);
    });
  }
  for (std::thread& worker : workers) worker.join();
  const uint32_t zero = 0;
  EXPECT_EQ(passed, kWorkers * kRounds * kBatch);
  EXPECT_EQ(base::load<uint64_t>(shared->lookup(&zero, 0)), kWorkers * kRounds * kBatch);
  for (uint32_t worker = 0; worker < kWorkers; ++worker)
    EXPECT_EQ(base::load<uint64_t>(percpu->lookup(&zero, worker)), kRounds * kBatch);
  for (uint32_t key = 0; key < 8; ++key)
    EXPECT_EQ(base::load<uint64_t>(flows->lookup(&key, 0)), kWorkers * kRounds * kBatch / 8) << key;
}

TEST_F(NativeTest, WhatNoEngineRunsIsRefusedWithItsSlot) {
  exec::native::Native native;
  const auto refused = native.load(program("r0 = 0\n call 9999\n exit"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where, "insn 1");
  EXPECT_EQ(refused.error().kind, base::ErrorKind::kUnsupported);
}

// A folder that goes with the test.
struct Folder {
  Folder() : path(fs::temp_directory_path() / fmt::format("xnic-cache-{}", getpid())) { fs::remove_all(path); }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

arch::native::Image image_of(uint8_t byte) {
  arch::native::Image image;
  image.blob.assign(5000, byte);
  return image;
}

TEST(NativeCacheTest, KeepsImagesForTheUserAlone) {
  const Folder folder;
  const NativeCache cache(folder.path.string());
  ASSERT_EQ(cache.folder(), folder.path.string());
  struct stat info;
  ASSERT_EQ(stat(folder.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_FALSE(cache.find({1, 2}));
  cache.store({1, 2}, image_of(7));
  EXPECT_EQ(cache.find({1, 2}), image_of(7));
  EXPECT_FALSE(cache.find({2, 1}));
}

TEST(NativeCacheTest, RefusesAFolderThatOthersCanWrite) {
  const Folder folder;
  fs::create_directory(folder.path);
  ASSERT_EQ(chmod(folder.path.c_str(), 0777), 0);
  const NativeCache cache(folder.path.string());
  EXPECT_EQ(cache.folder(), "");
  cache.store({1, 2}, image_of(7));
  EXPECT_TRUE(fs::is_empty(folder.path));
}

TEST(NativeCacheTest, DamagedAndMisnamedFilesAreNone) {
  const Folder folder;
  const NativeCache cache(folder.path.string());
  cache.store({1, 2}, image_of(7));
  const fs::path file = fs::directory_iterator(folder.path)->path();
  const fs::path other = folder.path / "00000000000000030000000000000004.native";
  fs::copy_file(file, other);
  EXPECT_FALSE(cache.find({3, 4}));
  fs::resize_file(file, fs::file_size(file) - 1);
  EXPECT_FALSE(cache.find({1, 2}));
  cache.store({1, 2}, image_of(8));  // and it heals
  EXPECT_EQ(cache.find({1, 2}), image_of(8));
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(600).put('x');
  EXPECT_FALSE(cache.find({1, 2}));
}

TEST(NativeCacheTest, ManyWritersLeaveWholeFiles) {
  const Folder folder;
  const NativeCache cache(folder.path.string());
  std::atomic<int> bad{0};
  std::vector<std::thread> threads;
  for (uint8_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        cache.store({5, 6}, image_of(t));
        const auto found = cache.find({5, 6});
        if (!found || found->blob.size() != 5000 || found->blob[0] != found->blob[4999]) ++bad;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()), 1);
}

TEST(NativeCacheTest, TheDigestSeesProgramMapsAndFacts) {
  const auto loaded = program("r0 = 2\n exit");
  const auto other = program("r0 = 1\n exit");
  auto request = exec::native::make_request(*loaded);
  const auto digest = digest_of(request);
  EXPECT_EQ(digest_of(exec::native::make_request(*loaded)), digest);
  EXPECT_NE(digest_of(exec::native::make_request(*other)), digest);
  request.maps.emplace_back();
  EXPECT_NE(digest_of(request), digest);
  request.maps[0].frozen = {1};
  const auto one = digest_of(request);
  request.maps[0].frozen = {2};
  EXPECT_NE(digest_of(request), one);
  arch::ebpf::Facts facts;
  facts.insns.resize(2);
  request.facts = &facts;
  const auto unreached = digest_of(request);
  facts.insns[1].reached = true;
  EXPECT_NE(digest_of(request), unreached);
}

}  // namespace
}  // namespace xnic::device
