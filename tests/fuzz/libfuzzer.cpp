// SPDX-License-Identifier: Apache-2.0
// One libFuzzer program a target; XNIC_FUZZ_TARGET names the function. Targets that take programs mutate whole
// instructions and keep jumps where they went when instructions come or go (mutator.cpp).
#include "mutator.hpp"
#include "targets.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  xnic::tests::fuzz::XNIC_FUZZ_TARGET({data, size});
  return 0;
}

#ifdef XNIC_FUZZ_PROGRAMS
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return xnic::tests::fuzz::mutate_program(data, size, max_size, seed, LLVMFuzzerMutate);
}
#endif
