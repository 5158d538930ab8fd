// SPDX-License-Identifier: Apache-2.0
// A ring inside one process, between two threads: the memory and both ends.
#pragma once

#include <memory>

#include "nic/ring/spsc.hpp"

namespace xnic::nic::ring {

template <class T>
class Local {
 public:
  // Pre: `capacity` is a power of two.
  explicit Local(uint32_t capacity)
      : entries_(std::make_unique<T[]>(capacity)),
        producer(&counters_, entries_.get(), capacity),
        consumer(&counters_, entries_.get(), capacity) {}
  Local(const Local&) = delete;
  Local& operator=(const Local&) = delete;

 private:
  Counters counters_{};
  std::unique_ptr<T[]> entries_;

 public:
  alignas(64) Producer<T> producer;  // for one thread
  alignas(64) Consumer<T> consumer;  // for another
};

}  // namespace xnic::nic::ring
