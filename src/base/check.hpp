// SPDX-License-Identifier: Apache-2.0
// CHECK: our own invariants, on in every build. A failed CHECK is a bug in xnic, never the user's mistake.
#pragma once

namespace xnic::base {

// Prints file, line and the condition, asks for a report, and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace xnic::base

#define CHECK(condition)                                          \
  do {                                                            \
    if (!(condition)) [[unlikely]]                                \
      ::xnic::base::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)
