// SPDX-License-Identifier: Apache-2.0
// Time as a parameter: whoever needs time takes a Clock, so that runs can be replayed exactly.
#pragma once

#include <cstdint>
#include <ctime>

namespace xnic::base {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an arbitrary fixed point; never goes back.
  virtual uint64_t monotonic_ns() const = 0;
};

// The machine's CLOCK_MONOTONIC.
class SystemClock final : public Clock {
 public:
  uint64_t monotonic_ns() const override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
  }
};

// Time that stands still until it is set; for tests and replays.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(uint64_t now_ns = 0) : now_ns_(now_ns) {}
  uint64_t monotonic_ns() const override { return now_ns_; }
  void set_ns(uint64_t now_ns) { now_ns_ = now_ns; }
  void advance_ns(uint64_t delta_ns) { now_ns_ += delta_ns; }

 private:
  uint64_t now_ns_;
};

}  // namespace xnic::base
