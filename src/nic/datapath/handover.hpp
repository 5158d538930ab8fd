// SPDX-License-Identifier: Apache-2.0
// Packets on their way from one worker to another: a ring with a slot for each packet. A packet is swapped into its
// slot and out of it, so its fragments go along and their buffers come back; nothing is allocated.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "nic/port/port.hpp"
#include "nic/ring/local.hpp"

namespace xnic::nic::datapath {

// What the other worker shall do. Classes follow one another: work of a class makes only work of later classes, so that
// workers that wait for each other's rings never wait in a circle.
enum class Class : uint8_t { kSpread, kCpu, kTransmit };
inline constexpr size_t kClasses = 3;

struct Errand {
  uint32_t target = 0;  // kTransmit: the port to send from. kCpu: the entry of the map
  uint32_t map_id = 0;  // kCpu: the cpumap
};

class HandOver {
 public:
  // Pre: `capacity` is a power of two.
  explicit HandOver(uint32_t capacity) : ring_(capacity) {
    slots_.reserve(capacity);
    for (uint32_t i = 0; i < capacity; ++i) slots_.push_back(exec::packet::Packet::unbound());
  }

  // The giving worker.
  uint32_t room(uint32_t wanted) { return ring_.producer.room(wanted); }
  // Pre: there is room. `packet` is unbound after.
  void give(exec::packet::Packet& packet, const Errand& errand) {
    std::swap(slots_[ring_.producer.next_slot()], packet);
    ring_.producer.put(errand);
    port::count(given_, 1);
    unpublished_ = true;
  }
  // Lets the other worker see what was given. True: it sleeps, wake it.
  bool publish() {
    if (!unpublished_) return false;
    unpublished_ = false;
    ring_.producer.publish();
    return ring_.producer.must_wake();
  }

  // The taking worker. Takes the first packet in place of `packet`, which is unbound. Pre: available() is not 0.
  uint32_t available(uint32_t wanted) { return ring_.consumer.available(wanted); }
  Errand peek(uint32_t i) const { return ring_.consumer.peek(i); }
  void take(exec::packet::Packet& packet) {
    std::swap(slots_[ring_.consumer.slot(0)], packet);
    ring_.consumer.release(1);
    port::count(taken_, 1);
  }
  bool prepare_sleep() { return ring_.consumer.prepare_sleep(); }
  void woken() { ring_.consumer.wake(); }

  // Any thread: packets that are under way.
  uint64_t filled() const {
    const uint64_t taken = taken_.load(std::memory_order_acquire);
    return given_.load(std::memory_order_relaxed) - taken;
  }

 private:
  ring::Local<Errand> ring_;
  std::vector<exec::packet::Packet> slots_;
  alignas(64) std::atomic<uint64_t> given_{0};
  bool unpublished_ = false;
  alignas(64) std::atomic<uint64_t> taken_{0};
};

}  // namespace xnic::nic::datapath
