// SPDX-License-Identifier: Apache-2.0
// Names of the error kinds, for messages and JSON.
#include "base/result.hpp"

#include "base/check.hpp"

namespace xnic::base {

std::string_view error_kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kBadInput:
      return "bad input";
    case ErrorKind::kLimit:
      return "limit";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kIo:
      return "i/o";
  }
  CHECK(false);
}

}  // namespace xnic::base
