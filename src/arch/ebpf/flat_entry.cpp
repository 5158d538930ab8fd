// SPDX-License-Identifier: Apache-2.0
// The entry proves to the verifier that the packet is long enough and calls the program as a subprogram, so that the
// program's own displacements stay right.
#include "arch/ebpf/flat_entry.hpp"

namespace xnic::arch::ebpf {

std::vector<RawInsn> with_flat_entry(std::span<const RawInsn> program, std::optional<uint32_t> memory_bytes,
                                     bool upper) {
  std::vector<RawInsn> whole;
  if (memory_bytes) {
    const auto size = static_cast<int32_t>(*memory_bytes);
    whole = {
        {0xb7, 0, 0, 0, 0},                                    // r0 = 0, for the early exit
        {0x61, 2, 1, 0, 0},                                    // r2 = data
        {0x61, 3, 1, 4, 0},                                    // r3 = data_end
        {0xbf, 4, 2, 0, 0},                                    // r4 = r2
        {0x07, 4, 0, 0, size},                                 // r4 += size
        {0x2d, 4, 3, static_cast<int16_t>(upper ? 4 : 3), 0},  // if r4 > r3 goto exit
        {0xbf, 1, 2, 0, 0},                                    // r1 = r2
        {0xb7, 2, 0, 0, size},                                 // r2 = size
    };
  } else {
    whole = {{0xb7, 1, 0, 0, 0}, {0xb7, 2, 0, 0, 0}};
  }
  whole.push_back({0x85, 0, 1, 0, upper ? 2 : 1});  // call the program
  if (upper) whole.push_back({0x77, 0, 0, 0, 32});  // r0 >>= 32
  whole.push_back({0x95, 0, 0, 0, 0});              // exit
  whole.insert(whole.end(), program.begin(), program.end());
  return whole;
}

}  // namespace xnic::arch::ebpf
