// SPDX-License-Identifier: Apache-2.0
// Makes four tests of each vector: on the interpreter and as native code in this process, through the conformance
// plugin's protocol, and, where bpf(2) is permitted, in the live kernel. Names are engine/group/cpu version.case, so
// that --gtest_filter selects by any of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "arch/ebpf/codec.hpp"
#include "device/native_images.hpp"
#include "exec/interp/flat.hpp"
#include "exec/native/flat.hpp"
#include "kernel.hpp"
#include "plugin.hpp"
#include "vectors.hpp"

namespace xnic::conformance {
namespace {

using base::Result;

// Helper 5 of the public suite: gives back r1; 0 ends the program.
uint64_t unwind(exec::helpers::HelperContext&, uint64_t value, uint64_t, uint64_t, uint64_t, uint64_t) { return value; }

Result<uint64_t> run_here(const Vector& vector, bool native) {
  auto no_maps = [](arch::ebpf::MapReference) -> Result<arch::ebpf::MapIndex> {
    return base::make_error(base::ErrorKind::kUnsupported, "", "there are no maps here");
  };
  XNIC_ASSIGN(auto insns, arch::ebpf::decode(vector.program, no_maps));
  std::vector<uint8_t> memory = vector.memory.value_or(std::vector<uint8_t>{});
  const exec::interp::ExtraHelpers extra = {{5, {unwind, true}}};
  return native ? exec::native::run_flat(insns, memory, extra) : exec::interp::run_flat(insns, memory, extra);
}

void expect_stated(const Vector& vector, const Result<uint64_t>& outcome) {
  if (!vector.error.empty()) {
    ASSERT_FALSE(outcome) << "was accepted, r0 = " << *outcome;
    EXPECT_EQ(outcome.error().message(), vector.error);
    return;
  }
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(*outcome, vector.result) << fmt::format("{:#x}, must be {:#x}", *outcome, vector.result);
}

Result<uint64_t> run_plugin_on(const Vector& vector) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(vector.program.data());
  const std::string program = hex({bytes, vector.program.size() * sizeof(arch::ebpf::RawInsn)});
  return run_plugin(vector.memory ? fmt::format("'{}'", hex(*vector.memory)) : "", program);
}

// What the kernel's log must contain: the vector says it, else it is the rule that our message begins with ("insn 3
// (opcode 0x07): BPF_ALU uses reserved fields: offset must be 0").
std::string rule_of(const Vector& vector) {
  if (!vector.kernel_text.empty() || vector.error.empty()) return vector.kernel_text;
  const size_t begin = vector.error.find("): ") + 3;
  return vector.error.substr(begin, vector.error.find(':', begin) - begin);
}

void ask_kernel(const Vector& vector) {
  static const bool usable = kernel_is_usable();
  if (!usable) GTEST_SKIP() << "needs bpf(2) on Linux 6.18";
  if (vector.kernel == KernelSays::kSkip) GTEST_SKIP() << vector.kernel_text;
  const bool must_refuse =
      vector.kernel == KernelSays::kRefuses || (!vector.error.empty() && vector.kernel != KernelSays::kAccepts);
  const KernelOutcome outcome = vector.error.empty() ? run_in_kernel(vector) : verify_in_kernel(vector);
  EXPECT_EQ(outcome.accepted, !must_refuse) << outcome.log;
  if (must_refuse) {
    EXPECT_NE(outcome.log.find(rule_of(vector)), std::string::npos) << outcome.log;
  } else if (vector.error.empty()) {
    EXPECT_EQ(outcome.result, vector.result) << fmt::format("{:#x}, must be {:#x}", outcome.result, vector.result);
  }
}

class VectorTest : public testing::Test {
 public:
  explicit VectorTest(std::function<void()> body) : body_(std::move(body)) {}
  void TestBody() override { body_(); }

 private:
  std::function<void()> body_;
};

void add_test(const char* engine, const Vector& vector, void (*body)(const Vector&)) {
  const std::string suite = fmt::format("{}/{}/{}", engine, vector.group, vector.cpu);
  testing::RegisterTest(
      suite.c_str(), vector.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
      [&vector, body]() -> testing::Test* { return new VectorTest([&vector, body] { body(vector); }); });
}

}  // namespace
}  // namespace xnic::conformance

int main(int argc, char** argv) {
  using namespace xnic::conformance;
  testing::InitGoogleTest(&argc, argv);
  setenv("XNIC_CACHE", "off", 1);  // the compiler is what is tested
  xnic::device::install_native();
  const auto vectors = read_vectors(XNIC_VECTORS);
  if (!vectors || vectors->empty()) {
    fmt::print(stderr, "{}\n", vectors ? "no vectors found" : vectors.error().message());
    return 1;
  }
  for (const Vector& vector : *vectors) {
    add_test("interp", vector, [](const Vector& v) { expect_stated(v, run_here(v, false)); });
    add_test("native", vector, [](const Vector& v) { expect_stated(v, run_here(v, true)); });
    add_test("plugin", vector, [](const Vector& v) { expect_stated(v, run_plugin_on(v)); });
    add_test("kernel", vector, ask_kernel);
  }
  return RUN_ALL_TESTS();
}
