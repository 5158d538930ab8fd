// SPDX-License-Identifier: Apache-2.0
// A descriptor that the other side filled in is checked before its frame is touched; one that lies ends the link.
#include "transport/link/memory.hpp"

#include <utility>

#include "nic/port/memory_listener.hpp"

namespace xnic::transport::link {

namespace port = nic::port::memory;

MemoryLink::MemoryLink(port::Region region, port::Side side, Fd bell)
    : region_(std::move(region)),
      channel_(region_.channel(0, side, std::move(bell))),
      stride_(region_.stride_bytes()) {}

base::Result<MemoryLink::Made> MemoryLink::make(const MemoryGeometry& geometry) {
  port::Header header;
  header.queues = 1;
  header.entries = geometry.entries;
  header.mtu = geometry.frame_bytes - port::kLinkBytes;
  header.lossless = 1;
  XNIC_ASSIGN(auto region, port::Region::create(header));
  auto [ours, theirs] = port::make_bell();
  if (ours.get() < 0) return base::make_error(base::ErrorKind::kIo, "memory link", "cannot make a doorbell");
  Made made;
  made.link.reset(new MemoryLink(std::move(region.first), port::Side::kCard, std::move(ours)));
  made.memfd = std::move(region.second);
  made.bell = std::move(theirs);
  return made;
}

base::Result<std::unique_ptr<MemoryLink>> MemoryLink::map(const Fd& memfd, Fd bell) {
  XNIC_ASSIGN(port::Region region, port::Region::map(memfd));
  return std::unique_ptr<MemoryLink>(new MemoryLink(std::move(region), port::Side::kPeer, std::move(bell)));
}

// A sleeper is woken for frames alone: two sides that both had nothing would else wake each other for ever.
uint32_t MemoryLink::flush() {
  if (!std::exchange(submitted_, false)) return 0;
  if (!channel_.out.must_wake()) return 0;
  channel_.ring_bell();
  return 1;
}

base::Bytes MemoryLink::receive() {
  if (channel_.in.available(taken_ + 1) <= taken_) return {};
  const port::Descriptor descriptor = channel_.in.peek(taken_);
  if (descriptor.size == 0 || descriptor.size > max_frame_bytes() || descriptor.reserved != 0) {
    down_ = true;
    return {};
  }
  const uint8_t* frame = channel_.in_buffers + size_t{channel_.in.slot(taken_)} * stride_;
  ++taken_;
  return {frame, descriptor.size};
}

void MemoryLink::woken() {
  channel_.in.wake();
  if (!channel_.quiet_bell()) down_ = true;
}

}  // namespace xnic::transport::link
