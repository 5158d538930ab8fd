// SPDX-License-Identifier: Apache-2.0
// Changes to program inputs that leave more of a program's sense than changes of single bytes do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xnic::tests::fuzz {

using ByteMutator = size_t (*)(uint8_t* data, size_t size, size_t max_size);

// Changes the input at `data` in place and returns its new size, at most max_size. `bytes` is libFuzzer's mutator.
size_t mutate_program(uint8_t* data, size_t size, size_t max_size, unsigned seed, ByteMutator bytes);

}  // namespace xnic::tests::fuzz
