// SPDX-License-Identifier: Apache-2.0
// Reads with stdio: a stream of the C++ library ends the process, by an exception, when it is given a folder.
#include "base/file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace xnic::base {

Result<std::vector<uint8_t>> read_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return make_error(ErrorKind::kIo, path, "cannot open: {}", std::strerror(errno));
  std::vector<uint8_t> bytes;
  uint8_t buffer[1 << 16];
  size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file)) > 0) bytes.insert(bytes.end(), buffer, buffer + got);
  const int error = std::ferror(file) != 0 ? errno : 0;
  std::fclose(file);
  if (error != 0) return make_error(ErrorKind::kIo, path, "cannot read: {}", std::strerror(error));
  return bytes;
}

}  // namespace xnic::base
