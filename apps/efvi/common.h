// SPDX-License-Identifier: Apache-2.0
// What the programs share: a virtual interface with its buffers, frames to send, a histogram. Errors end the program
// with a sentence.
#pragma once

#include <etherfabric/capabilities.h>
#include <etherfabric/checksum.h>
#include <etherfabric/memreg.h>
#include <etherfabric/pd.h>
#include <etherfabric/pio.h>
#include <etherfabric/vi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace efvi {

// Ends the program unless `result` is 0 or more, which it returns.
int must(int result, const char* what);

// A virtual interface: receive buffers (posted) and transmit buffers of 2048 bytes each.
class Interface {
 public:
  static constexpr uint32_t kBufferBytes = 2048;
  Interface(const std::string& port, uint64_t flags, uint32_t receive_buffers, uint32_t transmit_buffers);
  Interface(const Interface&) = delete;

  ef_vi* vi() { return &vi_; }
  ef_driver_handle handle() const { return handle_; }
  ef_pd* domain() { return &domain_; }
  uint32_t prefix() const { return static_cast<uint32_t>(ef_vi_receive_prefix_len(&vi_)); }
  // The frame of receive buffer `i`, behind the prefix.
  uint8_t* received(uint32_t i) { return memory_ + i * kBufferBytes + prefix(); }
  void post(uint32_t i) { must(ef_vi_receive_init(&vi_, address(i), static_cast<int>(i)), "post a buffer"); }
  uint8_t* transmit_buffer(uint32_t i) { return memory_ + (receive_buffers_ + i) * kBufferBytes; }
  ef_addr transmit_address(uint32_t i) { return address(receive_buffers_ + i); }
  // Address of the frame of receive buffer `i`, to send it on from where it is.
  ef_addr received_address(uint32_t i) { return address(i) + prefix(); }
  // Another interface's buffers, for its own domain: to send on what that one received.
  ef_addr register_memory_of(Interface& other);

  void take_udp(uint32_t address, uint16_t port);  // host order
  void take_all();
  // Takes the completions that wait; how many frames they are for.
  uint32_t reap(const ef_event& event);
  std::vector<uint8_t> mac();

 private:
  ef_addr address(uint32_t buffer) { return ef_memreg_dma_addr(&registered_, buffer * size_t{kBufferBytes}); }
  ef_driver_handle handle_ = -1;
  ef_pd domain_{};
  ef_vi vi_{};
  ef_memreg registered_{};
  uint8_t* memory_ = nullptr;
  size_t bytes_ = 0;
  uint32_t receive_buffers_;
};

constexpr uint32_t kHeaderBytes = 14 + 20 + 8;
// An Ethernet, IPv4 and UDP header for `payload_bytes` that follow, checksums of both filled in: the payload is there.
void write_headers(uint8_t* frame, const std::vector<uint8_t>& source, uint32_t from, uint32_t to, uint16_t port,
                   uint32_t payload_bytes);

// Nanoseconds since some beginning.
uint64_t now_ns();

class Histogram {
 public:
  void add(uint64_t ns) { values_.push_back(ns); }
  // Writes least, median, 99th percentile and greatest.
  void print(const char* what);

 private:
  std::vector<uint64_t> values_;
};

}  // namespace efvi
