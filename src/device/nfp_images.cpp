// SPDX-License-Identifier: Apache-2.0
#include "device/nfp_images.hpp"

#include "exec/sim/nfp/engine.hpp"

namespace xnic::device {

void install_nfp(const compile::target::nfp::CompileOptions& options, const exec::sim::nfp::CardTiming& timing) {
  const auto images = [options](const exec::LoadedProgram& program) -> base::Result<arch::nfp::Image> {
    if (program.facts == nullptr)
      return base::make_error(base::ErrorKind::kBadInput, program.program->name, "was not verified");
    return compile::target::nfp::compile(*program.program, *program.facts, options);
  };
  exec::sim::nfp::install(images, timing);
}

}  // namespace xnic::device
