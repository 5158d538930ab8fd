// SPDX-License-Identifier: Apache-2.0
// The hardware's rules as the model sees them. The model refuses what breaks one; it never repairs.
#pragma once

#include "arch/hxdp/image.hpp"
#include "base/result.hpp"

namespace xnic::exec::sim::hxdp {

namespace isa = arch::hxdp;

// The first violation as an error (kBadInput; `where` is "row R lane L", `detail` the rule and what breaks it; a helper
// that the card lacks is kUnsupported). Written from the rules as documented, and apart from arch/hxdp/bundle.cpp on
// purpose: two readings of the same rules check each other.
base::Result<void> check_rules(const isa::Image& image);

}  // namespace xnic::exec::sim::hxdp
