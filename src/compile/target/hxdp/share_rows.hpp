// SPDX-License-Identifier: Apache-2.0
// Equal ends of paths stand once in instruction memory.
#pragma once

#include "arch/hxdp/image.hpp"

namespace xnic::compile::target::hxdp {

// Branches to rows that only go elsewhere lead there at once; of rows that do the same and go on the same way one
// stays; rows that nothing reaches go. Post: the image does what it did, on no path in more rows.
void share_rows(arch::hxdp::Image& image);

}  // namespace xnic::compile::target::hxdp
