// SPDX-License-Identifier: Apache-2.0
// The compiler is a shared library that is loaded when it is first needed, since loading LLVM takes longer than most
// commands.
#include "device/native_images.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>

#include "compile/target/native/library.hpp"
#include "device/native_cache.hpp"
#include "exec/native/native.hpp"

namespace xnic::device {
namespace {

using arch::native::Image;
using arch::native::Request;
using base::ErrorKind;
using base::make_error;
using compile::target::native::CompileFunction;

// The library lies in the folder lib beside the program's, beside the program, or where the system's libraries are.
void* open_library() {
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof program);
  const std::string path(program, length > 0 ? static_cast<size_t>(length) : 0);
  const std::string folder = path.substr(0, path.find_last_of('/') + 1);
  for (const std::string& at : {folder + "../lib/", folder, std::string()}) {
    if (void* library = dlopen((at + XNIC_NATIVE_LIBRARY).c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

base::Result<CompileFunction> compiler() {
  static void* const library = open_library();
  static const std::string problem = library == nullptr ? dlerror() : "";
  if (library == nullptr) return make_error(ErrorKind::kIo, "native", "the compiler cannot be loaded: {}", problem);
  void* function = dlsym(library, compile::target::native::kCompileFunction);
  if (function == nullptr) return make_error(ErrorKind::kIo, "native", "{} is no compiler", XNIC_NATIVE_LIBRARY);
  return reinterpret_cast<CompileFunction>(function);
}

base::Result<Image> image_of(const Request& request) {
  static const NativeCache cache = NativeCache::from_environment();
  const arch::native::Digest digest = digest_of(request);
  if (std::optional<Image> ready = cache.find(digest)) return std::move(*ready);
  XNIC_ASSIGN(const CompileFunction compile, compiler());
  base::Result<Image> image = make_error(ErrorKind::kIo, "native", "the compiler gave no answer");
  compile(request, image);
  if (image) cache.store(digest, *image);
  return image;
}

}  // namespace

void install_native() { exec::native::install(image_of); }

}  // namespace xnic::device
