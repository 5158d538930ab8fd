// SPDX-License-Identifier: Apache-2.0
// Frames are written in the port's packet memory, so the port sends what the Messenger wrote. They go to the broadcast
// address: at the other end a program takes every frame before anything looks at addresses.
#include "transport/link/xdp.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace xnic::transport::link {

namespace {

constexpr uint32_t kFrames = 2048;
constexpr uint32_t kEntries = 512;
constexpr uint32_t kLooksBetween = 4096;  // at the interface's health: it takes a system call

}  // namespace

base::Result<std::unique_ptr<Link>> XdpLink::open(const XdpOptions& options, const base::Clock& clock) {
  XNIC_ASSIGN(auto memory, nic::frame::Memory::create(1, kFrames));
  nic::port::Info info;
  info.name = options.interface;
  nic::port::AfXdpOptions port_options;
  port_options.interface = options.interface;
  port_options.mode = options.mode;
  port_options.entries = kEntries;
  XNIC_ASSIGN(auto port, nic::port::open_af_xdp(std::move(info), port_options, *memory, clock));
  return std::unique_ptr<Link>(new XdpLink(std::move(memory), std::move(port)));
}

XdpLink::XdpLink(std::unique_ptr<nic::frame::Memory> memory, std::unique_ptr<nic::port::Port> port)
    : memory_(std::move(memory)),
      pool_(memory_->pool(0)),
      port_(std::move(port)),
      frame_bytes_(std::min(port_->info().mtu + 14, exec::packet::kMaxLinearBytes)) {
  for (uint32_t i = 0; i < kStaged; ++i) staged_.push_back(Packet::unbound());
  for (uint32_t i = 0; i < kReceived; ++i) received_.push_back(Packet::unbound());
}

XdpLink::~XdpLink() {
  for (Packet& packet : staged_)
    if (packet.frame() != nullptr) pool_.put(packet.unbind());
  for (Packet& packet : received_)
    if (packet.frame() != nullptr) pool_.put(packet.unbind());
  port_->close(0, pool_);
}

uint8_t* XdpLink::next_frame() {
  if (staged_count_ == kStaged) transmit();
  if (staged_count_ == kStaged) return nullptr;
  if (frame_ == nullptr) frame_ = pool_.get();
  if (frame_ == nullptr) {
    port_->reap(0, pool_);
    frame_ = pool_.get();
  }
  return frame_ == nullptr ? nullptr : frame_ + exec::packet::kHeadroomBytes;
}

void XdpLink::submit(uint32_t size) {
  uint8_t* data = frame_ + exec::packet::kHeadroomBytes;
  std::memset(data, 0xff, 6);
  std::copy(port_->info().mac.begin(), port_->info().mac.end(), data + 6);
  staged_[staged_count_++].bind(std::exchange(frame_, nullptr), exec::packet::kHeadroomBytes, size);
}

// Gives the port what it takes; the rest stays in order.
void XdpLink::transmit() {
  Packet* packets[kStaged];
  for (uint32_t i = 0; i < staged_count_; ++i) packets[i] = &staged_[i];
  const uint32_t done = port_->transmit(0, {packets, staged_count_}, pool_);
  for (uint32_t i = done; done > 0 && i < staged_count_; ++i) std::swap(staged_[i - done], staged_[i]);
  staged_count_ -= done;
}

uint32_t XdpLink::flush() {
  const bool any = staged_count_ != 0;
  if (any) transmit();
  port_->flush(0);
  port_->reap(0, pool_);
  return any ? 1 : 0;
}

base::Bytes XdpLink::receive() {
  if (next_ == count_) {
    const uint32_t room = std::min(kStaged, kReceived - count_);
    if (room == 0) return {};  // until release()
    count_ += port_->receive(0, {received_.data() + count_, room}, pool_);
    if (next_ == count_) return {};
  }
  const Packet& packet = received_[next_++];
  return {packet.data, static_cast<size_t>(packet.data_end - packet.data)};
}

void XdpLink::release() {
  for (uint32_t i = 0; i < next_; ++i) pool_.put(received_[i].unbind());
  for (uint32_t i = next_; next_ > 0 && i < count_; ++i) std::swap(received_[i - next_], received_[i]);
  count_ -= next_;
  next_ = 0;
}

bool XdpLink::down() { return ++looks_ % kLooksBetween == 0 && !port_->status(); }

}  // namespace xnic::transport::link
