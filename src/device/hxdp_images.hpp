// SPDX-License-Identifier: Apache-2.0
// Where compiler and card meet: the engine "hxdp" gets its images from the compiler.
#pragma once

#include "compile/pipeline.hpp"
#include "exec/sim/hxdp/card.hpp"

namespace xnic::device {

// From now on engines "hxdp" of this process compile what they load with `compile`, and run it on a card with `card`.
// Process-wide; later calls replace earlier ones. Not to be called while an engine loads.
void install_hxdp(const compile::HxdpOptions& compile = {}, const exec::sim::hxdp::CardOptions& card = {});

// The same with an image that is there already. Loading another program than the one that it was compiled from fails
// (kBadInput).
void install_hxdp_image(arch::hxdp::Image image, const exec::sim::hxdp::CardOptions& card = {});

}  // namespace xnic::device
