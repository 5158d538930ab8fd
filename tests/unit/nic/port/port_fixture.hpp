// SPDX-License-Identifier: Apache-2.0
// What the tests of all kinds of ports need: packet memory that must be whole at the end, and frames that say who they
// are.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::port {

class PortTest : public testing::Test {
 protected:
  static constexpr uint32_t kFrames = 512;
  static constexpr uint32_t kBatch = 32;
  PortTest() : memory_(*frame::Memory::create(2, kFrames)) {
    for (uint32_t i = 0; i < kBatch; ++i) received_.push_back(exec::packet::Packet::unbound());
  }
  // Every frame is back in the pool of its worker.
  void TearDown() override {
    for (uint32_t worker = 0; worker < 2; ++worker) EXPECT_EQ(memory_->pool(worker).free(), kFrames);
  }
  frame::Pool& pool() { return memory_->pool(0); }

  // An Ethernet frame of `size` bytes (at least 18) with `number` in it, and bytes that follow from both.
  static std::vector<uint8_t> numbered(uint32_t number, uint32_t size) {
    std::vector<uint8_t> frame(size);
    for (uint32_t i = 0; i < size; ++i) frame[i] = static_cast<uint8_t>(i * 7 + number);
    const uint8_t header[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};  // local experimental EtherType
    std::copy(header, header + 14, frame.begin());
    base::store(&frame[14], number);
    return frame;
  }
  static uint32_t number_of(base::Bytes frame) { return base::load<uint32_t>(frame.data() + 14); }

  // Receives what is there (at most kBatch) and returns the bytes of each; the frames go back to the pool.
  std::vector<std::vector<uint8_t>> receive(Port& port, uint32_t queue = 0) {
    const uint32_t count = port.receive(queue, received_, pool());
    std::vector<std::vector<uint8_t>> frames;
    for (uint32_t i = 0; i < count; ++i) {
      frames.push_back(received_[i].bytes());
      EXPECT_EQ(received_[i].ingress_ifindex, port.info().ifindex);
      EXPECT_EQ(received_[i].rx_queue, queue);
      pool().put(received_[i].unbind());
    }
    return frames;
  }
  // Gives one frame to transmit(); false when the queue is full (the frame is then back in the pool).
  bool transmit(Port& port, const std::vector<uint8_t>& bytes, uint32_t queue = 0) {
    exec::packet::Packet packet = exec::packet::Packet::unbound();
    uint8_t* frame = pool().get();
    if (frame == nullptr) return false;
    packet.bind(frame, exec::packet::kHeadroomBytes, 0);
    packet.fill(bytes);
    exec::packet::Packet* const one[] = {&packet};
    if (port.transmit(queue, one, pool()) == 1) return true;
    pool().put(packet.unbind());
    return false;
  }

  std::unique_ptr<frame::Memory> memory_;
  std::vector<exec::packet::Packet> received_;
  base::SystemClock clock_;
};

}  // namespace xnic::nic::port
