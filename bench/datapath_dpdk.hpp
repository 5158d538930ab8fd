// SPDX-License-Identifier: Apache-2.0
// DPDK as a peer: testpmd forwarding between two memif ports, with a second testpmd for traffic (Debian packages
// dpdk-dev, librte-net-memif23, librte-mempool-ring23).
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.hpp"

namespace xnic::bench {

// Millions of packets a second that testpmd (forward mode io: no look at the packet) takes from two memif ports and
// gives to the other, both ways at once; one sample a second. Errors: kUnsupported (not installed), kIo (with what it
// said).
base::Result<std::vector<double>> memif_mpps(int samples, bool realtime);

// Millions of frames of `bytes` a second from one testpmd (txonly) to another (rxonly) over one memif port; one sample
// a second. Errors: as above.
base::Result<std::vector<double>> memif_one_way_mpps(uint32_t bytes, int samples);

}  // namespace xnic::bench
