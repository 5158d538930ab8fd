// SPDX-License-Identifier: Apache-2.0
// What carries frames between a host process and the agent: one interface for all kinds, used by one thread at a time.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace xnic::transport::link {

class Link {
 public:
  virtual ~Link() = default;

  virtual uint32_t max_frame_bytes() const = 0;
  // True: every frame that was submitted arrives once, in order and unchanged. Otherwise the Messenger repairs.
  virtual bool lossless() const = 0;
  // How many frames may be under way to a side before it has acknowledged one.
  virtual uint32_t window() const = 0;

  // ---- sending
  // Where the next frame is written, max_frame_bytes() long; null: there is no room now.
  virtual uint8_t* next_frame() = 0;
  // Sends `size` bytes from next_frame(). Pre: next_frame() was not null.
  virtual void submit(uint32_t size) = 0;
  // The doorbell. Returns the number of system calls that it took.
  virtual uint32_t flush() = 0;

  // ---- receiving
  // The next frame, empty when there is none. It stays until release().
  virtual base::Bytes receive() = 0;
  // Gives all frames back that receive() returned.
  virtual void release() = 0;

  // ---- sleeping, as nic/port/port.hpp has it
  virtual int wait_fd() const = 0;
  virtual bool prepare_sleep() = 0;
  virtual void woken() = 0;

  // True: the other side is gone, or broke the rules; nothing more will come or go.
  virtual bool down() = 0;
};

}  // namespace xnic::transport::link
