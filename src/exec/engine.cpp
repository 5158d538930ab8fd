// SPDX-License-Identifier: Apache-2.0
// The engines of this build by name.
#include "exec/engine.hpp"

#include "exec/interp/interp.hpp"
#include "exec/kernel/kernel.hpp"
#include "exec/native/native.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "exec/sim/nfp/engine.hpp"

namespace xnic::exec {

std::unique_ptr<Engine> make_engine(std::string_view name) {
  if (name == "interp") return std::make_unique<interp::Interp>();
  if (name == "kernel") return std::make_unique<kernel::Kernel>();
  if (name == "native") return std::make_unique<native::Native>();
  if (name == "hxdp") return std::make_unique<sim::hxdp::Hxdp>();
  if (name == "nfp") return std::make_unique<sim::nfp::Nfp>();
  return nullptr;
}

std::vector<std::string_view> engine_names() { return {"interp", "native", "kernel", "hxdp", "nfp"}; }

}  // namespace xnic::exec
