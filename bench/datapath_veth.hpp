// SPDX-License-Identifier: Apache-2.0
// A veth pair in a network namespace of its own: frames go in at one end and come back from the other.
#pragma once

#include <filesystem>
#include <vector>

#include "base/result.hpp"

namespace xnic::bench {

// Who sends the frames back, with their MAC addresses swapped.
enum class Reflector {
  kCard,    // an af_xdp port, program `tx`
  kKernel,  // XDP_TX in the driver, the same program
  kDpdk,    // testpmd with net_af_xdp, forward mode macswap
};
// Millions of frames a second that come back, with a sender that never waits; samples of a third of a second. Nothing
// is left in the kernel afterwards. Errors: kIo (no root, no veth), kUnsupported (testpmd is not installed).
base::Result<std::vector<double>> veth_mpps(const std::filesystem::path& programs, Reflector reflector, int samples,
                                            bool realtime);

}  // namespace xnic::bench
