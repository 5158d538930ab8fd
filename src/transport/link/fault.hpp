// SPDX-License-Identifier: Apache-2.0
// A link behind a bad cable: what is sent over it is lost, doubled, late, damaged or held up with probabilities from a
// seed. It says that it may lose, so the Messenger over it repairs.
#pragma once

#include <memory>
#include <vector>

#include "base/rng.hpp"
#include "transport/link/link.hpp"

namespace xnic::transport::link {

struct FaultOptions {
  uint64_t seed = 1;
  // Of 10,000 frames.
  uint32_t drop = 0, duplicate = 0, reorder = 0, corrupt = 0, stall = 0;
  uint32_t window = 64;
};

struct FaultCounters {
  uint64_t sent = 0, dropped = 0, duplicated = 0, reordered = 0, corrupted = 0, stalls = 0;
};

class FaultLink final : public Link {
 public:
  FaultLink(std::unique_ptr<Link> inner, const FaultOptions& options);

  uint32_t max_frame_bytes() const override { return inner_->max_frame_bytes(); }
  bool lossless() const override { return false; }
  uint32_t window() const override { return options_.window; }
  uint8_t* next_frame() override;
  void submit(uint32_t size) override;
  uint32_t flush() override { return inner_->flush(); }
  base::Bytes receive() override { return inner_->receive(); }
  void release() override { inner_->release(); }
  int wait_fd() const override { return inner_->wait_fd(); }
  bool prepare_sleep() override { return inner_->prepare_sleep(); }
  void woken() override { inner_->woken(); }
  bool down() override { return inner_->down(); }

  const FaultCounters& faults() const { return counters_; }

 private:
  bool happens(uint32_t of_10000) { return of_10000 != 0 && rng_.chance(of_10000, 10'000); }
  void forward(base::Bytes frame);

  std::unique_ptr<Link> inner_;
  const FaultOptions options_;
  base::Rng rng_;
  std::vector<uint8_t> frame_, late_;  // late_: goes behind the next one
  uint32_t stalled_ = 0;               // looks for room that still find none
  FaultCounters counters_;
};

}  // namespace xnic::transport::link
