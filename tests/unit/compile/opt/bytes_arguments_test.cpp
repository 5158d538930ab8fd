// SPDX-License-Identifier: Apache-2.0
// Short keys and values whose bytes are known go to helpers without the stack.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

TEST(BytesArguments, AKeyOfEightBytesNeedsNoMemory) {
  constexpr const char* kText = R"(
    r6 = *(u32 *)(r1 +12)
    *(u64 *)(r10 -16) = r6
    r1 = map[1]
    r2 = r10
    r2 += -16
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r0 = 1
    out: exit)";
  EXPECT_NE(after(kText).find("map_lookup_elem(map 1, bytes ctx4[12])"), std::string::npos) << after(kText);
  const std::string off = after(kText, {.bytes_arguments = false});
  EXPECT_NE(off.find("map_lookup_elem(map 1, stack+496)"), std::string::npos) << off;
}

// Key (8 bytes) and value (16 bytes) at one address: the value is longer than what is known.
TEST(BytesArguments, AValueAtTheKeysAddressKeepsItsLength) {
  const std::string text = after(R"(
    r6 = *(u32 *)(r1 +12)
    *(u64 *)(r10 -16) = r6
    *(u64 *)(r10 -8) = 9
    r1 = map[1]
    r2 = r10
    r2 += -16
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    r0 = 2
    exit)");
  EXPECT_NE(text.find("map_update_elem(map 1, bytes ctx4[12], stack+496, 0)"), std::string::npos) << text;
}

TEST(BytesArguments, AKeyPutTogetherFromTwoStoresStaysInMemory) {
  const std::string text = after(R"(
    r6 = *(u32 *)(r1 +12)
    *(u32 *)(r10 -16) = r6
    *(u32 *)(r10 -12) = r6
    r1 = map[1]
    r2 = r10
    r2 += -16
    call bpf_map_delete_elem
    r0 = 2
    exit)");
  EXPECT_NE(text.find("map_delete_elem(map 1, stack+496)"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
