// SPDX-License-Identifier: Apache-2.0
// A port made of vectors: the test puts frames in and takes frames out, and says how much the port can send.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "nic/port/port.hpp"

namespace xnic::nic::datapath {

using Frame = std::vector<uint8_t>;

// The test's end of a port; lives longer than the port. Thread-safe.
class Wire {
 public:
  explicit Wire(uint32_t queues) : in_(queues), room_(queues, UINT32_MAX) {}

  void put(Frame frame, uint32_t queue = 0) {
    std::lock_guard lock(mutex_);
    in_[queue].push_back(std::move(frame));
    wake();
  }
  std::vector<Frame> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(out_, {});
  }
  size_t sent() const {
    std::lock_guard lock(mutex_);
    return out_.size();
  }
  // How many frames the port can send until the test says otherwise.
  void set_room(uint32_t room, uint32_t queue = 0) {
    std::lock_guard lock(mutex_);
    room_[queue] = room;
  }
  size_t unread() const {
    std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const auto& queue : in_) count += queue.size();
    return count;
  }
  bool closed = false;
  // Frames are only counted, not kept.
  bool count_only = false;
  uint64_t counted = 0;

 private:
  friend class FakePort;
  void wake() const {
    const uint64_t one = 1;
    if (fd_ >= 0 && asleep_) [[maybe_unused]]
      const ssize_t written = write(fd_, &one, sizeof one);
  }
  mutable std::mutex mutex_;
  std::vector<std::deque<Frame>> in_;
  std::vector<uint32_t> room_;
  std::vector<Frame> out_;
  int fd_ = -1;
  bool asleep_ = false;
};

class FakePort final : public port::Port {
 public:
  // `sleeps`: has something to wait for. Pre: one queue then.
  FakePort(port::Info info, std::shared_ptr<Wire> wire, bool sleeps = false)
      : info_(std::move(info)), wire_(std::move(wire)), counters_(info_.queues) {
    if (sleeps) wire_->fd_ = eventfd(0, EFD_NONBLOCK);
  }
  ~FakePort() override {
    if (wire_->fd_ >= 0) ::close(std::exchange(wire_->fd_, -1));
  }

  const port::Info& info() const override { return info_; }
  const port::Counters& counters(uint32_t queue) const override { return counters_[queue]; }

  uint32_t receive(uint32_t queue, std::span<exec::packet::Packet> packets, frame::Pool& pool) override {
    std::lock_guard lock(wire_->mutex_);
    auto& in = wire_->in_[queue];
    uint32_t count = 0;
    while (count < packets.size() && !in.empty()) {
      uint8_t* frame = pool.get();
      if (frame == nullptr) break;
      exec::packet::Packet& packet = packets[count++];
      packet.bind(frame, exec::packet::kHeadroomBytes, 0);
      packet.fill(in.front());
      packet.ingress_ifindex = info_.ifindex;
      packet.rx_queue = queue;
      packet.egress_ifindex = 0;
      packet.arrival_ns = 0;
      in.pop_front();
    }
    return count;
  }

  uint32_t transmit(uint32_t queue, std::span<exec::packet::Packet* const> packets, frame::Pool& pool) override {
    std::lock_guard lock(wire_->mutex_);
    uint32_t& room = wire_->room_[queue];
    const uint32_t count = std::min(room, static_cast<uint32_t>(packets.size()));
    if (room != UINT32_MAX) room -= count;
    for (uint32_t i = 0; i < count; ++i) {
      if (!wire_->count_only) wire_->out_.push_back(packets[i]->bytes());
      ++wire_->counted;
      pool.put(packets[i]->unbind());
    }
    return count;
  }
  void flush(uint32_t) override {}
  void reap(uint32_t, frame::Pool&) override {}

  int wait_fd(uint32_t) const override { return wire_->fd_; }
  bool prepare_sleep(uint32_t queue) override {
    std::lock_guard lock(wire_->mutex_);
    wire_->asleep_ = wire_->in_[queue].empty();
    return wire_->asleep_;
  }
  void woken(uint32_t) override {
    std::lock_guard lock(wire_->mutex_);
    wire_->asleep_ = false;
    uint64_t count = 0;
    if (wire_->fd_ >= 0) [[maybe_unused]]
      const ssize_t got = read(wire_->fd_, &count, sizeof count);
  }
  void close(uint32_t, frame::Pool&) override { wire_->closed = true; }
  base::Result<void> status() const override { return {}; }

 private:
  port::Info info_;
  std::shared_ptr<Wire> wire_;
  std::vector<port::Counters> counters_;
};

}  // namespace xnic::nic::datapath
