// SPDX-License-Identifier: Apache-2.0
#include "exec/native/flat.hpp"

#include "arch/ebpf/codec.hpp"
#include "exec/native/code.hpp"
#include "exec/native/native.hpp"
#include "exec/native/symbols.hpp"

namespace xnic::exec::native {

base::Result<uint64_t> run_flat(std::span<const arch::ebpf::Instruction> insns, base::MutableBytes memory,
                                const interp::ExtraHelpers& extra) {
  auto program = std::make_shared<arch::ebpf::Program>();
  program->insns.assign(insns.begin(), insns.end());
  program->raw = arch::ebpf::encode(program->insns);
  LoadedProgram loaded;
  loaded.program = program;
  arch::native::Request request = make_request(loaded);
  request.flat.emplace();
  for (const auto& [id, helper] : extra) request.flat->push_back({id, helper.ends_when_zero});
  XNIC_ASSIGN(const arch::native::Image image, provide(request));
  XNIC_ASSIGN(const auto code, Code::make(image, [&](const arch::native::Symbol& symbol) -> std::optional<uint64_t> {
                const auto helper = extra.find(symbol.index);
                if (symbol.kind != arch::native::Symbol::Kind::kHelper) return address_of(symbol, loaded);
                if (helper == extra.end()) return std::nullopt;
                return reinterpret_cast<uint64_t>(helper->second.function);
              }));
  packet::Packet view;  // legacy packet loads see the memory as the packet
  view.data_meta = view.data = memory.data();
  view.data_end = memory.data() + memory.size();
  Run run;
  run.packet = &view;
  return code->program()(&run, &view);
}

}  // namespace xnic::exec::native
