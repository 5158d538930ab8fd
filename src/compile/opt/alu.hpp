// SPDX-License-Identifier: Apache-2.0
// Constant evaluation of ALU operations and conditions, from the definitions in arch/hxdp/instruction.hpp.
#pragma once

#include <cstdint>

#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

uint64_t evaluate(AluOp op, Width width, uint64_t a, uint64_t b);
uint64_t evaluate_fold(bool invert, uint64_t a, uint64_t b);
uint64_t evaluate_swap(uint8_t bits, uint64_t a);
uint64_t evaluate_sext(Width width, uint8_t bits, uint64_t a);
bool evaluate(JumpOp op, Width width, uint64_t a, uint64_t b);

}  // namespace xnic::compile::opt
