// SPDX-License-Identifier: Apache-2.0
#include "exec/interp/flat.hpp"

#include <memory>

#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {

base::Result<uint64_t> run_flat(std::span<const arch::ebpf::Instruction> insns, base::MutableBytes memory,
                                const ExtraHelpers& extra, uint64_t budget) {
  Code code;
  code.extra = extra;
  XNIC_TRY(translate(insns, nullptr, false, code));
  auto machine = std::make_unique<Machine>();
  machine->code = &code;
  machine->budget = budget;
  // The last page of the address space: no buffer lies there, so no load is taken for one of the context.
  machine->context = ~uint64_t{0} - 4095;
  machine->helper.engine = machine.get();
  machine->helper.invoke = invoke_callback;
  machine->enter_frame(0);
  packet::Packet view;  // legacy packet loads see the memory as the packet
  view.data_meta = view.data = memory.data();
  view.data_end = memory.data() + memory.size();
  machine->helper.packet = &view;
  machine->r[1] = reinterpret_cast<uint64_t>(memory.data());
  machine->r[2] = memory.size();
  run_loop(*machine, code.ops.data());
  if (machine->violation)
    return base::make_error(base::ErrorKind::kUnsupported, fmt::format("insn {}", machine->violation->slot), "{}",
                            machine->violation->what);
  if (machine->out_of_budget)
    return base::make_error(base::ErrorKind::kLimit, "", "the program did not end within {} instructions and 8 frames",
                            budget);
  return machine->r[0];
}

}  // namespace xnic::exec::interp
