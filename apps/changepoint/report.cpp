// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "changepoint/command.hpp"

namespace xnic::apps::changepoint {

int report(const base::Error& error) {
  std::fprintf(stderr, "xnic-changepoint: error: %s\n", error.message().c_str());
  switch (error.kind) {
    case base::ErrorKind::kBadInput:
      return kExitBadInput;
    case base::ErrorKind::kLimit:
    case base::ErrorKind::kUnsupported:
      return kExitUnsupported;
    case base::ErrorKind::kIo:
      return kExitIo;
  }
  return kExitBadInput;
}

}  // namespace xnic::apps::changepoint
