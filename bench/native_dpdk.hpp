// SPDX-License-Identifier: Apache-2.0
// DPDK's eBPF as a peer: librte_bpf of Debian's dpdk-dev, loaded when the benchmark runs, so that building needs no
// DPDK.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace xnic::bench {

using DpdkFunction = uint64_t (*)(void* frame);

// A micro-program's flat object (micro/micro.h) as that library's machine code, for the rest of the process. Its
// look-up is `lookup`, with a key of 16 bytes in and the address of 8 bytes or null out. Errors: kUnsupported (not
// installed, or the library does not take the program).
base::Result<DpdkFunction> dpdk_function(const std::string& object,
                                         uint64_t (*lookup)(uint64_t key, uint64_t, uint64_t, uint64_t, uint64_t));

}  // namespace xnic::bench
