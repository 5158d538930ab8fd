// SPDX-License-Identifier: Apache-2.0
// What comparisons mean to those who rewrite them.
#pragma once

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf {

// The comparison with its sides exchanged: a op b is b mirrored(op) a.
constexpr JumpOp mirrored(JumpOp op) {
  switch (op) {
    case JumpOp::kGt:
      return JumpOp::kLt;
    case JumpOp::kGe:
      return JumpOp::kLe;
    case JumpOp::kLt:
      return JumpOp::kGt;
    case JumpOp::kLe:
      return JumpOp::kGe;
    case JumpOp::kSgt:
      return JumpOp::kSlt;
    case JumpOp::kSge:
      return JumpOp::kSle;
    case JumpOp::kSlt:
      return JumpOp::kSgt;
    case JumpOp::kSle:
      return JumpOp::kSge;
    default:
      return op;
  }
}

}  // namespace xnic::arch::ebpf
