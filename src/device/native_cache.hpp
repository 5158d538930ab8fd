// SPDX-License-Identifier: Apache-2.0
// Compiled code on disk, by the digest of all that went into it.
//
// The folder belongs to the user alone (0700) and is refused when it does not, since what it holds is executed. A file
// is written under another name and then renamed, so readers see whole files or none, however many write. A file that
// is damaged, or from another version, is as good as none.
#pragma once

#include <optional>
#include <string>

#include "arch/native/digest.hpp"
#include "arch/native/image.hpp"
#include "arch/native/request.hpp"

namespace xnic::device {

// The digest of the compiler's sources, in hex; made by the build (src/native_version.cmake).
const char* native_version();

// Stands for everything that the image depends on: program, facts, what is known of the maps, compiler, runtime, CPU.
arch::native::Digest digest_of(const arch::native::Request& request);

class NativeCache {
 public:
  // $XNIC_CACHE ("off": none), else $XDG_CACHE_HOME/xnic, else $HOME/.cache/xnic. Makes the folder. No folder to be
  // had: a cache that never finds anything.
  static NativeCache from_environment();
  // Pre: `folder` exists or can be made; empty: no cache.
  explicit NativeCache(std::string folder);

  std::optional<arch::native::Image> find(const arch::native::Digest& digest) const;
  // Failures are silent: the next run compiles again.
  void store(const arch::native::Digest& digest, const arch::native::Image& image) const;
  const std::string& folder() const { return folder_; }  // empty: no cache

  static constexpr uint64_t kMostBytes = 256u << 20;  // then the oldest files go

 private:
  std::string path_of(const arch::native::Digest& digest) const;
  void prune() const;
  std::string folder_;
};

}  // namespace xnic::device
