// SPDX-License-Identifier: Apache-2.0
// What an operation sees of the other lanes of its row. The one place that says so: the prover takes it from here, and
// a test of the model (tests/unit/exec/sim/hxdp/lane_rules_test.cpp) checks every line on the card.
//
//   registers, packet bounds   as they were before the row, for all operations
//   memory, by loads           as it was before the row
//   memory, by additions       as it was before the row: two to one place in one row, the higher lane's stays
//   memory, by calls           with the stores of lower lanes of the row: the helper module runs when they have
//   committed effects                    in lane order, up to the first branch taken or exit
#pragma once

#include <variant>

#include "arch/hxdp/instruction.hpp"

namespace xnic::arch::hxdp {

enum class Seen : uint8_t {
  kBeforeRow,   // the state before the row
  kLowerLanes,  // that, changed by the stores of lower lanes
};

// Memory as the operation form sees it (forms that read none: without meaning).
template <class Form>
inline constexpr Seen kMemorySeenBy = Seen::kBeforeRow;
template <>
inline constexpr Seen kMemorySeenBy<Call> = Seen::kLowerLanes;
template <>
inline constexpr Seen kMemorySeenBy<CallExit> = Seen::kLowerLanes;

inline Seen memory_seen_by(const Op& op) {
  return std::visit([]<class Form>(const Form&) { return kMemorySeenBy<Form>; }, op);
}

}  // namespace xnic::arch::hxdp
