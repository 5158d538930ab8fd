// SPDX-License-Identifier: Apache-2.0
// Verifies programs written as text; maps are added to the program by the tests.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <string_view>

#include "arch/ebpf/assemble.hpp"
#include "arch/ebpf/map_types.hpp"
#include "compile/verify/verify.hpp"

namespace xnic::compile::verify::testing {

using namespace arch::ebpf;

struct NothingFrozen : Environment {
  const uint8_t* frozen_value(MapIndex) const override { return nullptr; }
};

inline Program program_of(std::string_view text, std::vector<MapSpec> maps = {}) {
  auto insns = assemble(text);
  EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().message());
  Program program;
  program.gpl_compatible = true;
  if (!insns) return program;
  program.insns = *insns;
  program.maps = std::move(maps);
  std::set<Slot> starts = {0};
  for (const Instruction& insn : program.insns) {
    if (const auto* call = std::get_if<CallLocal>(&insn)) starts.insert(call->target);
    if (const auto* load = std::get_if<LoadFunction>(&insn)) starts.insert(load->target);
  }
  for (auto it = starts.begin(); it != starts.end(); ++it)
    program.subprograms.push_back(
        {*it, std::next(it) == starts.end() ? static_cast<Slot>(program.insns.size()) : *std::next(it),
         fmt::format("f{}", *it), false});
  return program;
}

inline Outcome check(std::string_view text, std::vector<MapSpec> maps = {}) {
  static const NothingFrozen environment;
  return verify(program_of(text, std::move(maps)), environment);
}

inline MapSpec map_of(MapType type, uint32_t key_size, uint32_t value_size, uint32_t max_entries = 16) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = key_size;
  spec.value_size = value_size;
  spec.max_entries = max_entries;
  spec.name = "m";
  return spec;
}

#define EXPECT_ACCEPTED(outcome)                                 \
  do {                                                           \
    const Outcome& outcome_ = (outcome);                         \
    EXPECT_TRUE(outcome_.accepted) << outcome_.rejection.reason; \
  } while (false)

// Rejected, for a reason that contains `text`.
#define EXPECT_REJECTED(outcome, kind_, text)                                                        \
  do {                                                                                               \
    const Outcome outcome_ = (outcome);                                                              \
    EXPECT_FALSE(outcome_.accepted);                                                                 \
    EXPECT_EQ(outcome_.rejection.kind, Rejection::Kind::kind_);                                      \
    EXPECT_NE(outcome_.rejection.reason.find(text), std::string::npos) << outcome_.rejection.reason; \
  } while (false)

}  // namespace xnic::compile::verify::testing
