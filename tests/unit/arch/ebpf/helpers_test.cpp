// SPDX-License-Identifier: Apache-2.0
#include "arch/ebpf/helpers.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "live_kernel.hpp"

namespace xnic::arch::ebpf {
namespace {

TEST(Helpers, AreFoundByNumberAndByName) {
  for (const HelperSignature& helper : all_helpers()) {
    EXPECT_EQ(find_helper(helper.id), &helper);
    EXPECT_EQ(find_helper(helper.name), &helper);
    EXPECT_EQ(helper_name(helper.id), helper.name);
  }
  EXPECT_EQ(find_helper(0), nullptr);
  EXPECT_EQ(find_helper(9), nullptr) << "skb_store_bytes is not for XDP";
  EXPECT_EQ(find_helper(212), nullptr);
  EXPECT_EQ(find_helper("skb_store_bytes"), nullptr);
}

TEST(Helpers, NamesCoverAllNumbers) {
  EXPECT_EQ(helper_name(1), "map_lookup_elem");
  EXPECT_EQ(helper_name(9), "skb_store_bytes");
  EXPECT_EQ(helper_name(211), "cgrp_storage_delete");
  EXPECT_EQ(helper_name(0), "unspec");
  EXPECT_EQ(helper_name(212), "unknown");
  std::set<std::string_view> names;
  for (HelperId id = 1; id <= 211; ++id) names.insert(helper_name(id));
  EXPECT_EQ(names.size(), 211u);
}

TEST(Helpers, EveryUnsupportedOneSaysWhy) {
  for (const HelperSignature& helper : all_helpers()) {
    if (helper.status == HelperStatus::kUnsupported) {
      EXPECT_NE(helper.note, "") << helper.name;
    }
  }
}

TEST(Helpers, ArgumentsAreWellFormed) {
  for (const HelperSignature& helper : all_helpers()) {
    SCOPED_TRACE(helper.name);
    const auto& args = helper.args;
    for (size_t i = 0; i < args.size(); ++i) {
      EXPECT_EQ(args[i] == ArgType::kFixedMemory, helper.fixed_sizes[i] != 0) << "argument " << i + 1;
      if (i > 0 && args[i] != ArgType::kNone) {
        EXPECT_NE(args[i - 1], ArgType::kNone) << "hole before argument " << i + 1;
      }
      const bool is_memory = args[i] == ArgType::kMemory || args[i] == ArgType::kMemoryOrNull ||
                             args[i] == ArgType::kMemoryUninit || args[i] == ArgType::kMemoryWritable ||
                             args[i] == ArgType::kMemoryWritableOrNull;
      const bool size_follows =
          i + 1 < args.size() && (args[i + 1] == ArgType::kSize || args[i + 1] == ArgType::kSizeOrZero);
      EXPECT_EQ(is_memory, size_follows) << "memory and size go together, argument " << i + 1;
    }
  }
}

TEST(Helpers, ContractsOfTheCommonOnes) {
  const HelperSignature* lookup = find_helper("map_lookup_elem");
  EXPECT_EQ(lookup->ret, RetType::kMapValueOrNull);
  EXPECT_EQ(lookup->args[1], ArgType::kMapKey);
  EXPECT_TRUE(lookup->packet_memory);
  std::set<std::string_view> moves;
  std::set<std::string_view> acquires;
  for (const HelperSignature& helper : all_helpers()) {
    if (helper.changes_packet) moves.insert(helper.name);
    if (helper.acquires) acquires.insert(helper.name);
  }
  EXPECT_EQ(moves, (std::set<std::string_view>{"tail_call", "xdp_adjust_head", "xdp_adjust_meta", "xdp_adjust_tail"}));
  EXPECT_EQ(acquires, (std::set<std::string_view>{"sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "ringbuf_reserve",
                                                  "kptr_xchg"}));
}

// The kernel answers a call of each number either with "program of this type cannot use helper" or by looking at the
// arguments; without a GPL licence it names the restricted ones.
TEST(HelpersAgainstKernel, OffersTheSameHelpersWithTheSameLicence) {
  if (!have_live_kernel()) GTEST_SKIP() << "needs bpf(2) on Linux 6.18";
  for (HelperId id = 1; id <= 215; ++id) {
    const RawInsn call[] = {
        {0xb7, 0, 0, 0, 0}, {0x85, 0, 0, 0, static_cast<int32_t>(id)}, {0xb7, 0, 0, 0, 0}, {0x95, 0, 0, 0, 0}};
    const std::string gpl = ask_kernel(call).log;
    const bool offered = gpl.find("cannot use helper") == std::string::npos &&
                         gpl.find("unknown func") == std::string::npos && gpl.find("invalid func") == std::string::npos;
    const HelperSignature* ours = find_helper(id);
    EXPECT_EQ(ours != nullptr, offered) << helper_name(id) << "#" << id << ": " << gpl;
    if (!ours || !offered) continue;
    const std::string proprietary = ask_kernel(call, "Proprietary").log;
    EXPECT_EQ(ours->gpl_only, proprietary.find("GPL-restricted") != std::string::npos) << ours->name << proprietary;
  }
}

// What the kernel's log names as expected where a number stands for an argument of this type; empty: it words it
// otherwise.
std::string_view expected_in_log(ArgType type) {
  switch (type) {
    case ArgType::kContext:
      return "ctx";
    case ArgType::kMap:
      return "map_ptr";
    case ArgType::kMemory:
    case ArgType::kMemoryUninit:
    case ArgType::kMemoryWritable:
    case ArgType::kFixedMemory:
    case ArgType::kMemoryOrNull:
    case ArgType::kMemoryWritableOrNull:
      return "fp, pkt, pkt_meta, map_key, map_value, mem, ";
    case ArgType::kSocket:
    case ArgType::kSocketRelease:
      return "sock_common, sock, tcp_sock, xdp_sock";
    case ArgType::kAllocMemory:
      return "ringbuf_mem";
    case ArgType::kSpinLock:
    case ArgType::kTimer:
      return "map_value";
    case ArgType::kDynptr:
    case ArgType::kDynptrRelease:
      return "fp, dynptr_ptr";
    default:
      return "";
  }
}

bool takes_number(ArgType type) {
  return type == ArgType::kAnything || type == ArgType::kScalar || type == ArgType::kSize ||
         type == ArgType::kSizeOrZero || type == ArgType::kAllocSize;
}

// With the number 7 in every argument register, the kernel complains about the first that must be a pointer.
TEST(HelpersAgainstKernel, FirstPointerArgumentHasTheSamePlaceAndType) {
  if (!have_live_kernel()) GTEST_SKIP() << "needs bpf(2) on Linux 6.18";
  int compared = 0;
  for (const HelperSignature& helper : all_helpers()) {
    const auto first = std::find_if_not(helper.args.begin(), helper.args.end(), takes_number);
    const std::string_view expected = first == helper.args.end() ? "" : expected_in_log(*first);
    if (expected.empty()) continue;
    const RawInsn call[] = {{0xb7, 1, 0, 0, 7}, {0xb7, 2, 0, 0, 7}, {0xb7, 3, 0, 0, 7},
                            {0xb7, 4, 0, 0, 7}, {0xb7, 5, 0, 0, 7}, {0x85, 0, 0, 0, static_cast<int32_t>(helper.id)},
                            {0xb7, 0, 0, 0, 0}, {0x95, 0, 0, 0, 0}};
    const std::string log = ask_kernel(call).log;
    if (log.find("might sleep") != std::string::npos) continue;
    const std::string complaint = fmt::format("R{} type=scalar expected={}", first - helper.args.begin() + 1, expected);
    EXPECT_NE(log.find(complaint), std::string::npos) << helper.name << ": want " << complaint << "\n" << log;
    ++compared;
  }
  EXPECT_GT(compared, 50);
}

// Calls with no pointer arguments must pass when all their arguments are set, and miss R1 when none is.
TEST(HelpersAgainstKernel, NumberArgumentsAreAsMany) {
  if (!have_live_kernel()) GTEST_SKIP() << "needs bpf(2) on Linux 6.18";
  for (const HelperSignature& helper : all_helpers()) {
    const auto count = std::find(helper.args.begin(), helper.args.end(), ArgType::kNone) - helper.args.begin();
    if (!std::all_of(helper.args.begin(), helper.args.begin() + count, takes_number) || count == 0) continue;
    for (auto given : {count - 1, count}) {
      std::vector<RawInsn> call = {{0xbf, 9, 1, 0, 0}};
      for (uint8_t i = 1; i <= given; ++i) call.push_back({0xb7, i, 0, 0, 0});
      call.push_back({0x85, 0, 0, 0, static_cast<int32_t>(helper.id)});
      call.push_back({0xb7, 0, 0, 0, 0});
      call.push_back({0x95, 0, 0, 0, 0});
      if (given == 0) continue;  // r1 still holds the context, which is readable
      const KernelVerdict verdict = ask_kernel(call);
      EXPECT_EQ(verdict.error == 0, given == count) << helper.name << " with " << given << "\n" << verdict.log;
    }
  }
}

}  // namespace
TEST(Helpers, KernelFunctionsAreFoundByTheKernelsNameAndByNumber) {
  const HelperSignature* slice = find_kernel_function("bpf_dynptr_slice");
  ASSERT_NE(slice, nullptr);
  EXPECT_EQ(slice->id, kDynptrSlice);
  EXPECT_EQ(find_helper(kDynptrSlice), slice);
  EXPECT_EQ(helper_name(kDynptrSlice), "dynptr_slice");
  EXPECT_EQ(find_kernel_function("dynptr_slice"), nullptr);
  EXPECT_EQ(find_kernel_function("bpf_xdp_ct_lookup"), nullptr);
  EXPECT_EQ(find_helper(kKernelFunctionsEnd), nullptr);
}

}  // namespace xnic::arch::ebpf
