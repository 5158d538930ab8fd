// SPDX-License-Identifier: Apache-2.0
// Bundle: one row of lane operations, and the rules that the hardware sets for it, each a named predicate.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "arch/hxdp/instruction.hpp"

namespace xnic::arch::hxdp {

struct Bundle {
  std::array<Op, kMaxLanes> lanes{};  // lanes above Parameters::lanes hold Nop
  bool operator==(const Bundle&) const = default;
};

struct CallSite;
struct Image;

enum class Rule : uint8_t {
  kLaneInUse,      // an operation in a lane that the machine lacks
  kOneCall,        // one helper module: at most one call a row
  kOneWriter,      // a register has one writer a row
  kRegisterField,  // register numbers fit 4 bits
  kTarget,         // branches lead to rows of the image
  kMemoryForm,     // sizes, spaces and offsets that the ports have
  kOperand,        // values that their field can hold
  kCallSite,       // the call table has the row, and its arguments are well formed
  kMapField,       // maps exist
  kFallsOff,       // the last row does not end the program
  kForwarding,     // Forwarding::kLane: a result is read in another lane in the next row
  kImageSize,      // more rows or call sites than the machine holds
};
std::string_view rule_name(Rule rule);

struct RuleViolation {
  Rule rule;
  Row row;
  uint32_t lane;
  std::string text;  // one sentence
};

// Violations within one row: all rules but those that need other rows. `row` is for the text.
std::vector<RuleViolation> check(const Bundle& bundle, Row row, const Image& image);
// Every row, and the rules between rows.
std::vector<RuleViolation> check(const Image& image);

}  // namespace xnic::arch::hxdp
