// SPDX-License-Identifier: Apache-2.0
// Text form of rows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "arch/hxdp/image.hpp"

namespace xnic::arch::hxdp {

// "r3 = r1 + 14", "r2 = packet2[12].be", "if packet < 34 goto 7", "exit 1". Calls print their row of the call table:
// "r4 = call map_lookup_elem(map 0, bytes r3)".
std::string to_text(const Op& op, const std::vector<CallSite>& sites);

// One line a row: "  3 | op | op | op | op". With `with_source`, the C lines of its operations stand behind.
std::string listing(const Image& image, bool with_source);

}  // namespace xnic::arch::hxdp
