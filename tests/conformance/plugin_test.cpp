// SPDX-License-Identifier: Apache-2.0
// The plugin's command line beyond what the vectors use.
#include "plugin.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "kernel.hpp"

namespace xnic::conformance {
namespace {

constexpr const char* kPass = "b7 00 00 00 02 00 00 00 95 00 00 00 00 00 00 00";

std::string object(const char* name) {
  std::ifstream in(std::string(XNIC_OBJECTS) + "/" + name, std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
  EXPECT_FALSE(bytes.empty()) << name;
  return hex(bytes);
}

std::string error_of(const std::string& arguments, const std::string& input) {
  const auto r0 = run_plugin(arguments, input);
  return r0 ? "accepted" : r0.error().message();
}

TEST(Plugin, RunsObjectsWhoseMainIsNotFirst) {
  const auto r0 = run_plugin("09 --elf", object("main_second.o"));
  ASSERT_TRUE(r0) << r0.error().message();
  EXPECT_EQ(*r0, 81u);
}

TEST(Plugin, RefusesObjectsThatNeedALinker) {
  EXPECT_EQ(error_of("--elf", object("with_relocation.o")), "object: has relocations; load it with xnic instead");
  EXPECT_EQ(error_of("--elf", kPass), "object: is no ELF file");
}

TEST(Plugin, TakesTheEngineByName) {
  EXPECT_EQ(run_plugin("--engine interp", kPass).value_or(0), 2u);
  EXPECT_NE(error_of("--engine abacus", kPass).find("abacus"), std::string::npos);
}

TEST(Plugin, RunsNativeCodeOnFlatMemory) {
  // r0 = *(u8 *)(r1 + 1); r0 <<= 40; r0 |= r2; exit
  const std::string shifted =
      "71 10 01 00 00 00 00 00 67 00 00 00 28 00 00 00 4f 20 00 00 00 00 00 00 95 00 00 00 00 00 00 00";
  EXPECT_EQ(run_plugin("'05 06' --engine native", shifted).value_or(0), 0x60000000002u);
}

TEST(Plugin, RunsTheSameProgramOnTheLiveKernelWithAllOf64Bits) {
  // r0 = *(u8 *)(r1 + 1); r0 <<= 40; r0 |= r2; exit
  const std::string shifted =
      "71 10 01 00 00 00 00 00 67 00 00 00 28 00 00 00 4f 20 00 00 00 00 00 00 95 00 00 00 00 00 00 00";
  EXPECT_EQ(run_plugin("'05 06' --engine interp", shifted).value_or(0), 0x60000000002u);
  if (!kernel_is_usable()) GTEST_SKIP() << "the live kernel (6.18, as root) is needed";
  EXPECT_EQ(run_plugin("'05 06' --engine kernel", shifted).value_or(0), 0x60000000002u);
  // Memory that the program was not given: the verifier's words come back.
  const std::string beyond = "71 10 7f 00 00 00 00 00 95 00 00 00 00 00 00 00";
  EXPECT_NE(error_of("'05 06' --engine kernel", beyond).find("outside of the packet"), std::string::npos);
}

TEST(Plugin, RefusesTextThatIsNoHex) {
  EXPECT_EQ(error_of("", "b7 0x"), "program: 'x' is not a hex digit");
  EXPECT_EQ(error_of("", "b7 0"), "program: a byte has two hex digits");
  EXPECT_EQ(error_of("", "b7 00"), "program: has 2 bytes, not a multiple of 8");
  EXPECT_EQ(error_of("", ""), "program: has no instructions");
  EXPECT_EQ(error_of("'1 2'", kPass), "memory: a byte has two hex digits");
}

TEST(Plugin, TakesHexWithoutBlanks) { EXPECT_EQ(run_plugin("", "b7000000020000009500000000000000").value_or(0), 2u); }

}  // namespace
}  // namespace xnic::conformance
