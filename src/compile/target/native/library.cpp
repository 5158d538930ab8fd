// SPDX-License-Identifier: Apache-2.0
#include "compile/target/native/library.hpp"

using namespace xnic::compile::target::native;

extern "C" __attribute__((visibility("default"))) void xnic_native_compile(
    const xnic::arch::native::Request& request, xnic::base::Result<xnic::arch::native::Image>& image) {
  image = compile(request);
}
static_assert(std::is_same_v<decltype(&xnic_native_compile), CompileFunction>);
