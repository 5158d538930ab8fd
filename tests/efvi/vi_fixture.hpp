// SPDX-License-Identifier: Apache-2.0
// A card with two ports joined by a wire, and virtual interfaces on it as a program would make them.
#pragma once

#include <etherfabric/memreg.h>
#include <etherfabric/pd.h>
#include <etherfabric/pio.h>
#include <etherfabric/vi.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nic/vi/service/card_service.hpp"

namespace xnic::nic::vi {

using Bytes = std::vector<uint8_t>;

// A UDP frame with right checksums. `payload` bytes count up from `seed`.
struct FrameSpec {
  std::vector<uint8_t> destination = {2, 0, 0, 0, 0, 2};
  uint32_t from = 0x0a000001, to = 0x0a000002;  // host order
  uint16_t from_port = 1000, to_port = 2000;
  size_t payload = 22;  // 64 bytes in all
  uint8_t seed = 0;
  int vlan = -1;
};
Bytes make_frame(const FrameSpec& spec = {});

// One virtual interface with memory for its buffers: receive buffers first, then transmit buffers.
class Endpoint {
 public:
  static constexpr size_t kBufferBytes = 2048;
  struct Options {
    uint64_t flags = 0;
    unsigned pd_flags = EF_PD_DEFAULT;
    int evq = -1, rxq = -1, txq = -1;
    size_t receive_buffers = 64, transmit_buffers = 64;
    bool post = true;  // the receive buffers, at once
    ef_vi* event_queue = nullptr;
    ef_driver_handle handle = -1;  // -1: one of its own
  };
  Endpoint(const std::string& port, const Options& options);
  explicit Endpoint(const std::string& port) : Endpoint(port, Options{}) {}
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;

  uint8_t* receive_buffer(size_t i) { return memory + i * kBufferBytes; }
  uint8_t* transmit_buffer(size_t i) { return memory + (receive_buffers + i) * kBufferBytes; }
  ef_addr receive_address(size_t i) { return ef_memreg_dma_addr(&memreg, i * kBufferBytes); }
  ef_addr transmit_address(size_t i) { return ef_memreg_dma_addr(&memreg, (receive_buffers + i) * kBufferBytes); }
  int post(size_t i) { return ef_vi_receive_post(&vi, receive_address(i), static_cast<int>(i)); }
  // Through transmit buffer `buffer`, with its number as id.
  int send(const Bytes& frame, size_t buffer = 0);
  // Takes all UDP to 10.0.0.2:2000.
  int take_flow(uint32_t to = 0x0a000002, uint16_t port = 2000);
  int add(const std::function<int(ef_filter_spec*)>& set, unsigned flags = 0, ef_filter_cookie* cookie = nullptr);
  // Polls once, with room for many events.
  std::vector<ef_event> poll(int room = 64);
  // Polls and reposts; the frames that arrived whole.
  std::vector<Bytes> receive();

  ef_driver_handle dh = -1;
  ef_pd pd{};
  ef_vi vi{};
  ef_memreg memreg{};
  uint8_t* memory = nullptr;
  size_t receive_buffers = 0;
  int label = -1;

 private:
  bool own_handle_ = false;
  size_t bytes_ = 0;
};

class ViTest : public testing::Test {
 protected:
  void SetUp() override { start(); }
  void TearDown() override {
    service_.reset();
    unsetenv("XNIC_CARD");
  }
  void start();
  std::string socket_ = testing::TempDir() + "xnic_vi_" + std::to_string(getpid());
  CardOptions options_;
  std::unique_ptr<CardService> service_;
};

}  // namespace xnic::nic::vi
