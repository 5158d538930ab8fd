// SPDX-License-Identifier: Apache-2.0
// Answers each frame of a flow with one of two answers that wait in the card as TX alternatives: when a frame has come,
// all that is left to do is to say which goes. The first byte of the request chooses; the answer is loaded again behind
// it.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "common.h"

namespace {

using namespace efvi;

constexpr uint32_t kBuffers = 256;
constexpr uint32_t kAnswers = 2;
constexpr uint32_t kPayload = 22;
volatile std::sig_atomic_t stop = 0;

class Reflector {
 public:
  Reflector(const std::string& port, uint32_t address, uint16_t udp_port, uint32_t answer_to)
      : interface_(port, EF_VI_TX_ALT, kBuffers, kAnswers) {
    must(ef_vi_transmit_alt_alloc(interface_.vi(), interface_.handle(), kAnswers, 4096), "make alternatives");
    for (uint32_t i = 0; i < kAnswers; ++i) {
      uint8_t* const frame = interface_.transmit_buffer(i);
      for (uint32_t at = 0; at < kPayload; ++at) frame[kHeaderBytes + at] = static_cast<uint8_t>('0' + i);
      write_headers(frame, interface_.mac(), address, answer_to, udp_port, kPayload);
      load(i);
    }
    interface_.take_udp(address, udp_port);
  }

  void poll() {
    ef_event events[16];
    const int count = ef_eventq_poll(interface_.vi(), events, 16);
    for (int i = 0; i < count; ++i) {
      switch (EF_EVENT_TYPE(events[i])) {
        case EF_EVENT_TYPE_RX:
          answer(EF_EVENT_RX_RQ_ID(events[i]));
          break;
        case EF_EVENT_TYPE_TX_ALT:
          load(EF_EVENT_TX_ALT_ALT_ID(events[i]));
          break;
        case EF_EVENT_TYPE_RESET:
          stop = 1;
          break;
        default:
          interface_.reap(events[i]);
      }
    }
  }
  uint64_t answered() const { return answered_; }

 private:
  void answer(uint32_t buffer) {
    const uint32_t which = interface_.received(buffer)[kHeaderBytes] % kAnswers;
    if (loaded_[which])
      go(which);
    else
      ++waiting_[which];
    interface_.post(buffer);
    ef_vi_receive_push(interface_.vi());
  }
  void go(uint32_t which) {
    must(ef_vi_transmit_alt_go(interface_.vi(), which), "send an answer");
    loaded_[which] = false;
    ++answered_;
  }
  void load(uint32_t which) {
    must(ef_vi_transmit_alt_stop(interface_.vi(), which), "stop an alternative");
    must(ef_vi_transmit_alt_select(interface_.vi(), which), "select an alternative");
    must(ef_vi_transmit(interface_.vi(), interface_.transmit_address(which), kHeaderBytes + kPayload, 0),
         "load an answer");
    loaded_[which] = true;
    if (waiting_[which] == 0) return;
    --waiting_[which];
    go(which);
  }

  Interface interface_;
  bool loaded_[kAnswers] = {};
  uint32_t waiting_[kAnswers] = {};
  uint64_t answered_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Answers UDP frames from alternatives that wait in the card, until a signal comes");
  std::string port;
  uint16_t udp_port = 8080;
  app.add_option("port", port, "of the card")->required();
  app.add_option("--udp-port", udp_port, "that is answered, of 172.1.2.3");
  CLI11_PARSE(app, argc, argv);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop = 1; });
  Reflector reflector(port, 0xac010203, udp_port, 0xac010204);
  fmt::print("ready\n");
  std::fflush(stdout);
  while (stop == 0) reflector.poll();
  fmt::print("{} answers\n", reflector.answered());
  return 0;
}
