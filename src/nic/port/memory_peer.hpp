// SPDX-License-Identifier: Apache-2.0
// Memory port, the peer's side: for the process that the card exchanges frames with.
//
// Frames are written and read where they lie in the shared memory, or copied by send(). Each queue belongs to one
// thread at a time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "nic/port/memory_region.hpp"

namespace xnic::nic::port {

class MemoryPeer {
 public:
  // Errors: kIo (no card serves `path`), kLimit (it has another peer), kBadInput (what answers is no card, or of
  // another version).
  static base::Result<MemoryPeer> attach(const std::string& path);

  uint32_t queues() const { return region_.header().queues; }
  uint32_t mtu() const { return region_.header().mtu; }
  uint32_t max_frame_bytes() const { return region_.buffer_bytes(); }
  uint32_t generation() const { return region_.header().generation; }
  bool lossless() const { return region_.header().lossless != 0; }
  MacAddress card_mac() const;

  // To the card. How many frames there is room for (looks at the card's counter only when fewer than `wanted` are known
  // of); where the next one goes (max_frame_bytes() of room); that it is there, with `size` bytes; and the doorbell,
  // which lets the card see all of them.
  uint32_t room(uint32_t queue, uint32_t wanted) { return channels_[queue].out.room(wanted); }
  uint8_t* next_buffer(uint32_t queue) {
    memory::Channel& channel = channels_[queue];
    return channel.out_buffers + size_t{channel.out.next_slot()} * stride_bytes_;
  }
  void put(uint32_t queue, uint32_t size) { channels_[queue].out.put({size, 0}); }
  void flush(uint32_t queue);
  // Copies frames into the ring, with the doorbell; returns how many of the first there was room for. Pre: none is
  // longer than max_frame_bytes().
  uint32_t send(uint32_t queue, std::span<const base::Bytes> frames);

  // From the card. How many frames there are; the `i`th of them, valid until release(); and that `count` are done with.
  uint32_t available(uint32_t queue, uint32_t wanted) { return channels_[queue].in.available(wanted); }
  base::Bytes frame(uint32_t queue, uint32_t i) const;
  void release(uint32_t queue, uint32_t count) { channels_[queue].in.release(count); }

  // Sleeps until there is a frame, at most `timeout_ms` (-1: no limit). False: none came. Errors: as status().
  base::Result<bool> wait(uint32_t queue, int timeout_ms);
  // As a Port's: for those who poll(2) several things. False: frames have come meanwhile.
  int wait_fd(uint32_t queue) const { return channels_[queue].bell.get(); }
  bool prepare_sleep(uint32_t queue) { return channels_[queue].in.prepare_sleep(); }
  void woken(uint32_t queue);

  // Errors: kIo when the card is gone or broke a ring: attach anew.
  base::Result<void> status() const;

 private:
  MemoryPeer(memory::Region region, memory::Fd connection)
      : region_(std::move(region)), connection_(std::move(connection)), stride_bytes_(region_.stride_bytes()) {}

  memory::Region region_;
  memory::Fd connection_;
  uint32_t stride_bytes_;
  std::vector<memory::Channel> channels_;
};

}  // namespace xnic::nic::port
