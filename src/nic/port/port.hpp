// SPDX-License-Identifier: Apache-2.0
// Port: where frames come from and go to. One interface for all kinds, so that the datapath does not know them.
//
// Threads: each queue of a port is used by one thread at a time (its worker); different queues by different threads.
// status(), info() and counters() by any thread. Nothing on the packet path allocates, throws or prints.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"
#include "exec/packet/packet.hpp"
#include "nic/frame/frames.hpp"

namespace xnic::nic::port {

using MacAddress = std::array<uint8_t, 6>;

struct Info {
  std::string name{};    // as configured; unique on the card
  std::string kind{};    // "af_xdp", "memory", "tap", "pcap"
  std::string detail{};  // for people: what the kind has to say of this one, as "native, zero-copy"
  uint32_t ifindex = 0;  // on the card; what programs see and redirect to
  MacAddress mac{};
  uint32_t mtu = 1500;  // bytes of payload; a frame may have 14 more, and 4 for each VLAN tag
  uint32_t queues = 1;  // both ways: queue i is received from and transmitted to
  // Full transmit queues hold the sender back instead of losing packets.
  bool lossless = false;
};

// Of one queue. Written by its worker, read by anyone. Every frame that was received or given to transmit() is counted
// once: in received, transmitted, or one of the drops.
struct Counters {
  std::atomic<uint64_t> received{0}, received_bytes{0};
  std::atomic<uint64_t> transmitted{0}, transmitted_bytes{0};
  std::atomic<uint64_t> drop_no_frame{0};  // on receipt: the pool was empty
  std::atomic<uint64_t> drop_bad{0};       // on receipt: descriptor outside its region, too long, too short
  std::atomic<uint64_t> drop_too_long{0};  // on transmission: longer than the port can send
  std::atomic<uint64_t> drop_down{0};      // on transmission: the other side is gone
  std::atomic<uint64_t> drop_kernel{0};    // counted by the operating system: its queue to us was full
};
// One writer: no locked instruction needed.
inline void count(std::atomic<uint64_t>& counter, uint64_t more) {
  counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

class Port {
 public:
  virtual ~Port() = default;
  virtual const Info& info() const = 0;
  virtual const Counters& counters(uint32_t queue) const = 0;

  // Receives at most packets.size() frames of `queue` into the first packets, and returns how many. Pre: the packets
  // are unbound; after the call the first ones stand on frames that belong to the caller: of `pool`, or frames of the
  // same memory that the port had taken from it before. ingress_ifindex, rx_queue, arrival_ns (0: not known) are set.
  virtual uint32_t receive(uint32_t queue, std::span<exec::packet::Packet> packets, frame::Pool& pool) = 0;

  // Queues frames, in order, and returns how many of the first it has dealt with: those packets are unbound, their
  // frames the port's (back to `pool` when sent). Fewer than packets.size(): the queue is full, the rest is still the
  // caller's. Frames that can never be sent are dropped and counted, which is dealing with them.
  virtual uint32_t transmit(uint32_t queue, std::span<exec::packet::Packet* const> packets, frame::Pool& pool) = 0;

  // The doorbell: lets the other side see what transmit() has queued, and wakes it if it sleeps. Called once a batch.
  virtual void flush(uint32_t queue) = 0;

  // Frames that have been sent go back to `pool`. Called when a worker finds time or needs frames.
  virtual void reap(uint32_t queue, frame::Pool& pool) = 0;

  // Something to poll(2) for POLLIN before a worker sleeps, or -1: then the port is polled. prepare_sleep() asks for
  // the wake-up and returns false when frames have come meanwhile; woken() ends it.
  virtual int wait_fd(uint32_t queue) const = 0;
  virtual bool prepare_sleep(uint32_t queue) = 0;
  virtual void woken(uint32_t queue) = 0;

  // All frames that the port holds go back to `pool`; the port receives and sends nothing after. Called once, by the
  // thread that has the queue. Frames whose end the other side still has are given up by it when the port is destroyed.
  virtual void close(uint32_t queue, frame::Pool& pool) = 0;

  // The port's health: an error when the other side is gone for good (interface deleted, peer dead or lying), with what
  // to do. A port that is down receives nothing and drops what it is given.
  virtual base::Result<void> status() const = 0;
  // True when nothing will ever come again and everything is sent (the end of a capture).
  virtual bool finished() const { return false; }
};

}  // namespace xnic::nic::port
