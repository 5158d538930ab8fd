// SPDX-License-Identifier: Apache-2.0
// The link over XDP sockets: frames of the experimental EtherType on a network interface, past Linux's network stack,
// by the card's af_xdp port (docs/datapath.md). One session has the interface's first queue.
//
// An interface may lose frames, so the Messenger repairs. That it hardly has to is the window's work: a veth pair's
// ring has 256 entries, and 240 frames under way never fill it, nor the 512 frames that each side has posted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "nic/frame/frames.hpp"
#include "nic/port/af_xdp.hpp"
#include "transport/link/link.hpp"

namespace xnic::transport::link {

struct XdpOptions {
  using Mode = nic::port::AfXdpOptions::Mode;
  std::string interface;
  Mode mode = Mode::kAuto;
};

class XdpLink final : public Link {
 public:
  // Takes the interface of the calling thread's network namespace; `clock` outlives the link. Errors: open_af_xdp()'s.
  static base::Result<std::unique_ptr<Link>> open(const XdpOptions& options, const base::Clock& clock);
  ~XdpLink() override;

  uint32_t max_frame_bytes() const override { return frame_bytes_; }
  bool lossless() const override { return false; }
  uint32_t window() const override { return kWindow; }
  uint8_t* next_frame() override;
  void submit(uint32_t size) override;
  uint32_t flush() override;
  base::Bytes receive() override;
  void release() override;
  int wait_fd() const override { return port_->wait_fd(0); }
  bool prepare_sleep() override { return next_ == count_ && staged_count_ == 0 && port_->prepare_sleep(0); }
  void woken() override { port_->woken(0); }
  bool down() override;

 private:
  using Packet = exec::packet::Packet;
  static constexpr uint32_t kWindow = 240;
  static constexpr uint32_t kStaged = 64, kReceived = 256;

  XdpLink(std::unique_ptr<nic::frame::Memory> memory, std::unique_ptr<nic::port::Port> port);
  void transmit();

  std::unique_ptr<nic::frame::Memory> memory_;
  nic::frame::Pool& pool_;
  std::unique_ptr<nic::port::Port> port_;
  uint32_t frame_bytes_;
  uint8_t* frame_ = nullptr;    // that next_frame() gave out
  std::vector<Packet> staged_;  // the first staged_count_ are for the port
  uint32_t staged_count_ = 0;
  std::vector<Packet> received_;  // the first count_; of them the first next_ were handed out
  uint32_t next_ = 0, count_ = 0;
  uint32_t looks_ = 0;
};

}  // namespace xnic::transport::link
