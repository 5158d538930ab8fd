// SPDX-License-Identifier: Apache-2.0
// The link over shared memory: the region of a memory port (docs/datapath.md) with one queue, which each host process
// has for itself. Frames are written where the other side reads them, so a frame costs one store and no copy.
#pragma once

#include <optional>

#include "nic/port/memory_region.hpp"
#include "transport/link/link.hpp"

namespace xnic::transport::link {

using nic::port::memory::Fd;

struct MemoryGeometry {
  uint32_t entries = 256;  // frames each way, a power of two
  uint32_t frame_bytes = 8192;
};

class MemoryLink final : public Link {
 public:
  // The agent's end; `memfd` and `bell` are for the host. Errors: kIo.
  struct Made;
  static base::Result<Made> make(const MemoryGeometry& geometry);
  // The host's end, from what the agent sent. Errors: kBadInput (no such region), kIo.
  static base::Result<std::unique_ptr<MemoryLink>> map(const Fd& memfd, Fd bell);

  uint32_t max_frame_bytes() const override { return region_.buffer_bytes(); }
  bool lossless() const override { return true; }
  uint32_t window() const override { return channel_.in.capacity(); }
  uint8_t* next_frame() override {
    return channel_.out.room(1) == 0 ? nullptr : channel_.out_buffers + size_t{channel_.out.next_slot()} * stride_;
  }
  void submit(uint32_t size) override {
    channel_.out.put({size, 0});
    channel_.out.publish();
    submitted_ = true;
  }
  uint32_t flush() override;
  base::Bytes receive() override;
  void release() override {
    if (taken_ != 0) channel_.in.release(taken_);
    taken_ = 0;
  }
  int wait_fd() const override { return channel_.bell.get(); }
  bool prepare_sleep() override { return channel_.in.prepare_sleep(); }
  void woken() override;
  bool down() override { return down_ || channel_.in.broken() || channel_.out.broken(); }

 private:
  MemoryLink(nic::port::memory::Region region, nic::port::memory::Side side, Fd bell);

  nic::port::memory::Region region_;
  nic::port::memory::Channel channel_;
  const uint32_t stride_;
  uint32_t taken_ = 0;      // frames received and not released
  bool submitted_ = false;  // since the last flush()
  bool down_ = false;
};

struct MemoryLink::Made {
  std::unique_ptr<MemoryLink> link;
  Fd memfd, bell;
};

}  // namespace xnic::transport::link
