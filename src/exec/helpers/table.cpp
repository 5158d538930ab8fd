// SPDX-License-Identifier: Apache-2.0
// Helper number -> implementation, as an array made at compile time.
#include <array>

#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint32_t kTableSize = 256;

constexpr std::array<HelperFn, kTableSize> make_table() {
  std::array<HelperFn, kTableSize> table{};
#define HELPER(id, name) table[id] = &name;
#include "exec/helpers/implemented.def"
#undef HELPER
  return table;
}

constexpr std::array<HelperFn, kTableSize> kTable = make_table();

}  // namespace

HelperFn helper_function(uint32_t id) { return id < kTableSize ? kTable[id] : nullptr; }

}  // namespace xnic::exec::helpers
