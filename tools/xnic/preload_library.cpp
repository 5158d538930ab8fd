// SPDX-License-Identifier: Apache-2.0
#include "xnic/preload_library.hpp"

#include <unistd.h>

#include <climits>
#include <filesystem>

namespace xnic::tools {

base::Result<std::string> find_preload_library(const char* name) {
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program);
  const std::filesystem::path folder =
      std::filesystem::path(std::string(program, length > 0 ? static_cast<size_t>(length) : 0)).parent_path();
  for (const auto& path : {folder.parent_path() / "lib" / name, folder / name})
    if (std::filesystem::exists(path)) return path.string();
  return base::make_error(base::ErrorKind::kIo, name, "is neither beside xnic nor in the folder lib beside its folder");
}

}  // namespace xnic::tools
