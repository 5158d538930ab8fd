// SPDX-License-Identifier: Apache-2.0
// The BTF is parsed from its file; no bpf(2) command is involved, so this may run inside the door.
#include "device/kernel_functions.hpp"

#include <bpf/btf.h>

#include <memory>

namespace xnic::device {

std::string kernel_function_name(uint32_t btf_id) {
  struct Free {
    void operator()(btf* btf) const { btf__free(btf); }
  };
  static const std::unique_ptr<btf, Free> kernel(btf__parse("/sys/kernel/btf/vmlinux", nullptr));
  const btf_type* type = kernel ? btf__type_by_id(kernel.get(), btf_id) : nullptr;
  if (!type || !btf_is_func(type)) return {};
  const char* name = btf__name_by_offset(kernel.get(), type->name_off);
  return name ? name : "";
}

}  // namespace xnic::device
