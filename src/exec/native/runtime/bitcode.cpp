// SPDX-License-Identifier: Apache-2.0
// The assembler includes the file; its path comes from the build (XNIC_RUNTIME_BITCODE).
#include "exec/native/runtime/bitcode.hpp"

__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "xnic_runtime_bitcode_begin:\n"
    ".incbin \"" XNIC_RUNTIME_BITCODE
    "\"\n"
    "xnic_runtime_bitcode_end:\n"
    ".byte 0\n"
    ".text\n");
extern "C" const uint8_t xnic_runtime_bitcode_begin[], xnic_runtime_bitcode_end[];

namespace xnic::exec::native::runtime {

base::Bytes bitcode() { return {xnic_runtime_bitcode_begin, xnic_runtime_bitcode_end}; }

}  // namespace xnic::exec::native::runtime
