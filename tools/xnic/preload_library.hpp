// SPDX-License-Identifier: Apache-2.0
// Where the libraries lie that commands put into other programs.
#pragma once

#include <string>

#include "base/result.hpp"

namespace xnic::tools {

// `name` lies in the folder lib beside the program's, or beside the program. Errors: kIo.
base::Result<std::string> find_preload_library(const char* name);

}  // namespace xnic::tools
