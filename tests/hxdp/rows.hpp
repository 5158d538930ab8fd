// SPDX-License-Identifier: Apache-2.0
// Runs an hXDP image row by row, from the definitions in arch/hxdp/instruction.hpp and without any notion of time: what
// the compiler's tests compare with the interpreter. Slow, checked, and independent of the cycle model.
#pragma once

#include <string>
#include <vector>

#include "arch/hxdp/image.hpp"
#include "exec/engine.hpp"
#include "exec/helpers/helper_context.hpp"
#include "exec/helpers/helper_state.hpp"

namespace xnic::tests {

struct RowRun {
  exec::Verdict verdict;
  uint32_t rows = 0;
  uint32_t operations = 0;
  std::string fault;                  // empty: none
  std::vector<arch::hxdp::Row> path;  // rows in order
};

class Rows {
 public:
  Rows(const arch::hxdp::Image& image, const exec::LoadedProgram& program);
  RowRun run(exec::packet::Packet& packet, const exec::RunContext& context);

 private:
  struct Machine;
  const arch::hxdp::Image& image_;
  const exec::LoadedProgram& program_;
  exec::helpers::HelperState helper_state_;
};

}  // namespace xnic::tests
