// SPDX-License-Identifier: Apache-2.0
// Faults are made where frames are sent, on a copy, so that the link below stays what it is.
#include "transport/link/fault.hpp"

#include <cstring>
#include <utility>

namespace xnic::transport::link {

FaultLink::FaultLink(std::unique_ptr<Link> inner, const FaultOptions& options)
    : inner_(std::move(inner)), options_(options), rng_(options.seed), frame_(inner_->max_frame_bytes()) {}

uint8_t* FaultLink::next_frame() {
  if (stalled_ > 0) {
    --stalled_;
    return nullptr;
  }
  return frame_.data();
}

// A full ring below loses the frame, as a full queue of a card would.
void FaultLink::forward(base::Bytes frame) {
  uint8_t* to = inner_->next_frame();
  if (to == nullptr) {
    ++counters_.dropped;
    return;
  }
  std::memcpy(to, frame.data(), frame.size());
  inner_->submit(static_cast<uint32_t>(frame.size()));
}

void FaultLink::submit(uint32_t size) {
  ++counters_.sent;
  const base::Bytes frame(frame_.data(), size);
  const std::vector<uint8_t> late = std::exchange(late_, {});
  if (happens(options_.corrupt)) {
    ++counters_.corrupted;
    frame_[rng_.below(size)] ^= static_cast<uint8_t>(1u << rng_.below(8));
  }
  if (happens(options_.drop)) {
    ++counters_.dropped;
  } else if (happens(options_.reorder)) {
    ++counters_.reordered;
    late_.assign(frame.begin(), frame.end());
  } else {
    forward(frame);
    if (happens(options_.duplicate)) {
      ++counters_.duplicated;
      forward(frame);
    }
  }
  if (!late.empty()) forward(late);
  if (happens(options_.stall)) {
    ++counters_.stalls;
    stalled_ = static_cast<uint32_t>(rng_.range(1, 2000));
  }
}

}  // namespace xnic::transport::link
