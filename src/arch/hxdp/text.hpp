// SPDX-License-Identifier: Apache-2.0
// Text form of rows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "arch/hxdp/image.hpp"
#include "base/result.hpp"

namespace xnic::arch::hxdp {

// "r3 = r1 + 14", "r2 = packet2[12].be", "if packet < 34 goto 7", "exit 1". Calls print their row of the call table:
// "r4 = call map_lookup_elem(map 0, bytes r3)".
std::string to_text(const Op& op, const std::vector<CallSite>& sites);

// One line a row: "  3 | op | op | op | op". With `with_source`, the C lines of its operations stand behind.
std::string listing(const Image& image, bool with_source);

// The inverse of to_text(). A call site that `sites` does not have is added. Errors: kBadInput with what was expected.
base::Result<Op> assemble_op(std::string_view text, std::vector<CallSite>& sites);

// The inverse of listing(), for rows written by hand as well: one line a row, operations parted by "|"; the row's
// number and what stands behind ";" may be left out, empty lines are skipped. Replaces the image's rows, adds call
// sites; the operations come from no instruction (kNoSlot). Errors: kBadInput with the line; more operations than
// lanes. The image may break rules of bundle.hpp.
base::Result<void> assemble(std::string_view listing, Image& image);

}  // namespace xnic::arch::hxdp
