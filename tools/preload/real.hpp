// SPDX-License-Identifier: Apache-2.0
// The functions that this library stands before: the next definition of each name, which is the C library's.
#pragma once

#include <dlfcn.h>

namespace xnic::preload {

// `name` as the program would have had it without us. Found at the first call and kept.
template <class Function>
class Real {
 public:
  constexpr explicit Real(const char* name) : name_(name) {}
  Function* get() {
    void* found = __atomic_load_n(&function_, __ATOMIC_ACQUIRE);
    if (found == nullptr) {
      found = dlsym(RTLD_NEXT, name_);
      __atomic_store_n(&function_, found, __ATOMIC_RELEASE);
    }
    return reinterpret_cast<Function*>(found);
  }

 private:
  const char* name_;
  void* function_ = nullptr;
};

}  // namespace xnic::preload

// Functions that the program sees; everything else of this library is hidden.
#define XNIC_EXPORT extern "C" __attribute__((visibility("default")))
