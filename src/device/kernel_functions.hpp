// SPDX-License-Identifier: Apache-2.0
// Names of kernel functions from the BTF ids by which programs call them.
#pragma once

#include <cstdint>
#include <string>

namespace xnic::device {

// The function with this id in the live kernel's BTF (/sys/kernel/btf/vmlinux), where libbpf took the id from; empty
// when there is none. The BTF is read at the first call and kept. Thread-safe.
std::string kernel_function_name(uint32_t btf_id);

}  // namespace xnic::device
