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

void install_hxdp_image(arch::hxdp::Image image, const exec::sim::hxdp::CardOptions& card) {
  exec::sim::hxdp::install(
      [image = std::move(image)](const exec::LoadedProgram& program) -> base::Result<arch::hxdp::Image> {
        if (image.source_hash != arch::hxdp::source_hash(*program.program))
          return base::make_error(base::ErrorKind::kBadInput, program.program->name,
                                  "the image was compiled from another program ({}), or from another state of this one",
                                  image.program);
        return image;
      },
      card);
}

}  // namespace xnic::device
