// SPDX-License-Identifier: Apache-2.0
#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace xnic::base {

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "xnic: internal error at %s:%d: CHECK(%s) failed. This is a bug in xnic; please report it.\n",
               file, line, condition);
  std::abort();
}

}  // namespace xnic::base
