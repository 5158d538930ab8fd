// SPDX-License-Identifier: Apache-2.0
// The card's packet memory: one region of frames, and a pool of free frames for each worker.
//
// Every frame has a home, the worker whose pool it came from. A pool is used by its worker alone; a frame of another
// worker's that ends here goes home over a ring from this worker to that one, so no pool runs dry because traffic goes
// one way, and no lock is taken.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "exec/packet/packet.hpp"
#include "nic/ring/local.hpp"

namespace xnic::nic::frame {

// As a packet lays it out: headroom, data, tail reserve.
using exec::packet::kFrameBytes;

class Pool;

class Memory {
 public:
  // `workers` pools of `frames_per_worker` frames (a power of two) each, in one page-aligned region, which an AF_XDP
  // port can have as its UMEM. Errors: kIo (no memory), kBadInput (counts).
  static base::Result<std::unique_ptr<Memory>> create(uint32_t workers, uint32_t frames_per_worker);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* begin() const { return begin_; }
  size_t bytes() const { return bytes_; }
  uint32_t frames() const { return static_cast<uint32_t>(bytes_ / kFrameBytes); }
  uint32_t workers() const { return static_cast<uint32_t>(pools_.size()); }
  // The frame that `address` lies in. Pre: it lies in the region.
  uint8_t* frame_of(const uint8_t* address) const {
    return begin_ + static_cast<size_t>(address - begin_) / kFrameBytes * kFrameBytes;
  }
  uint32_t home_of(const uint8_t* frame) const {
    return static_cast<uint32_t>(static_cast<size_t>(frame - begin_) / kFrameBytes / frames_per_worker_);
  }
  // The pool of a worker; used by one thread at a time.
  Pool& pool(uint32_t worker) { return *pools_[worker]; }

 private:
  friend class Pool;
  Memory() = default;
  uint8_t* begin_ = nullptr;
  size_t bytes_ = 0;
  uint32_t frames_per_worker_ = 0;
  std::vector<std::unique_ptr<Pool>> pools_;
  // Frames on their way home: from worker i to worker j at [i * workers + j]. Each can hold all frames of one worker.
  std::vector<std::unique_ptr<ring::Local<uint8_t*>>> ways_home_;
};

class Pool {
 public:
  // A free frame, or null when there is none. No allocation. What the frame holds is left from its last packet.
  uint8_t* get() {
    if (free_.empty()) collect();
    if (free_.empty()) return nullptr;
    uint8_t* frame = free_.back();
    free_.pop_back();
    return frame;
  }
  // True when get() would give null.
  bool empty() {
    if (free_.empty()) collect();
    return free_.empty();
  }
  // Takes a frame back, whosever it is. Pre: it came from a pool of the same memory and nobody else uses it.
  void put(uint8_t* frame) {
    const uint32_t home = memory_.home_of(frame);
    if (home == worker_)
      free_.push_back(frame);
    else
      send_home(frame, home);
  }
  // Frames that are free right now, after taking in those that came home.
  uint32_t free() {
    collect();
    return static_cast<uint32_t>(free_.size());
  }
  Memory& memory() { return memory_; }

 private:
  friend class Memory;
  Pool(Memory& memory, uint32_t worker) : memory_(memory), worker_(worker) {}
  void collect();
  void send_home(uint8_t* frame, uint32_t home);

  Memory& memory_;
  uint32_t worker_;
  std::vector<uint8_t*> free_;  // capacity reserved: never grows
};

}  // namespace xnic::nic::frame
