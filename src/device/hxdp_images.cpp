// SPDX-License-Identifier: Apache-2.0
#include "device/hxdp_images.hpp"

#include "exec/sim/hxdp/engine.hpp"

namespace xnic::device {

void install_hxdp(const compile::HxdpOptions& compile, const exec::sim::hxdp::CardOptions& card) {
  exec::sim::hxdp::install(
      [compile](const exec::LoadedProgram& program) -> base::Result<arch::hxdp::Image> {
        if (program.facts == nullptr)
          return base::make_error(base::ErrorKind::kBadInput, program.program->name, "was not verified");
        return compile::compile_hxdp(*program.program, *program.facts, compile);
      },
      card);
}

}  // namespace xnic::device
