// SPDX-License-Identifier: Apache-2.0
// Fault port: any port behind a bad link. Frames are dropped, duplicated, reordered, corrupted or delayed, and the link
// stands still at times, with probabilities from a seed. Everything it does is counted, so that packets can still be
// accounted for: out = in - dropped + duplicated.
#pragma once

#include <memory>

#include "base/clock.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::port {

// Of one direction. Probabilities in parts per million and frame; a frame has at most one fault of the first five.
struct FaultRates {
  uint32_t drop_ppm = 0;
  uint32_t duplicate_ppm = 0;  // the copy comes a little later
  uint32_t reorder_ppm = 0;    // the frame comes after those of its batch
  uint32_t corrupt_ppm = 0;    // one bit is flipped
  uint32_t delay_ppm = 0;      // the frame comes `delay_ns` later
  uint32_t stall_ppm = 0;      // nothing passes for `stall_ns`
  uint64_t delay_ns = 1'000'000;
  uint64_t stall_ns = 1'000'000;
};

struct FaultOptions {
  FaultRates receive, transmit;
  uint64_t seed = 1;
};

// Of one queue and direction.
struct FaultCounters {
  std::atomic<uint64_t> dropped{0}, duplicated{0}, reordered{0}, corrupted{0}, delayed{0}, stalls{0};
};

class FaultPort : public Port {
 public:
  virtual const FaultCounters& receive_faults(uint32_t queue) const = 0;
  virtual const FaultCounters& transmit_faults(uint32_t queue) const = 0;
};

// counters() are those of `inner`. A queue holds at most 64 frames back in each direction; while it does, another fault
// that would hold one more does not happen. Errors: kBadInput (probabilities above 10^6 together).
base::Result<std::unique_ptr<FaultPort>> wrap_with_faults(std::unique_ptr<Port> inner, const FaultOptions& options,
                                                          const base::Clock& clock);

}  // namespace xnic::nic::port
