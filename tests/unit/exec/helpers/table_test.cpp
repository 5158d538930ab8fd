// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "arch/ebpf/helpers.hpp"
#include "exec/helpers/helper_context.hpp"

namespace xnic::exec::helpers {
namespace {

TEST(HelperTable, ImplementsExactlyWhatTheSignaturesPromise) {
  for (uint32_t id = 0; id < 300; ++id) {
    const arch::ebpf::HelperSignature* signature = arch::ebpf::find_helper(id);
    const bool promised = signature != nullptr && signature->status == arch::ebpf::HelperStatus::kImplemented;
    EXPECT_EQ(helper_function(id) != nullptr, promised) << id << ' ' << arch::ebpf::helper_name(id);
  }
}

TEST(HelperTable, EveryUnsupportedHelperSaysWhy) {
  for (const arch::ebpf::HelperSignature& signature : arch::ebpf::all_helpers()) {
    if (signature.status == arch::ebpf::HelperStatus::kUnsupported) {
      EXPECT_FALSE(signature.note.empty()) << signature.name;
    }
  }
}

}  // namespace
}  // namespace xnic::exec::helpers
