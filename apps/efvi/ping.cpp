// SPDX-License-Identifier: Apache-2.0
// Round-trip time between two ports: `ping PORT` sends a frame and waits for it to come back, `pong PORT` sends it
// back. Every way to send; waiting for the event, or for the last byte of the next buffer to change.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstring>

#include "common.h"

namespace {

using namespace efvi;

constexpr uint32_t kAddress = 0xac010203;  // 172.1.2.3
constexpr uint16_t kPort = 8080;
constexpr uint32_t kBuffers = 256;

enum class Mode { kDma, kPio, kCtpio, kAlternatives };

class Player {
 public:
  Player(const std::string& port, Mode mode, uint32_t payload, bool spin_on_payload)
      : mode_(mode),
        bytes_(kHeaderBytes + payload),
        spins_(spin_on_payload),
        interface_(port, flags(mode), kBuffers, 1) {
    interface_.take_udp(kAddress, kPort);
    uint8_t* const frame = interface_.transmit_buffer(0);
    for (uint32_t i = 0; i < payload; ++i) frame[kHeaderBytes + i] = static_cast<uint8_t>(i);
    if (spins_) frame[bytes_ - 1] = kMark;
    write_headers(frame, interface_.mac(), 0xac010204, kAddress, kPort, payload);
    for (uint32_t i = 0; spins_ && i < kBuffers; ++i) interface_.received(i)[bytes_ - 1] = 0;
    ef_vi* const vi = interface_.vi();
    if (mode == Mode::kPio) {
      must(ef_pio_alloc(&pio_, interface_.handle(), interface_.domain(), ~0u, interface_.handle()),
           "make a PIO region");
      must(ef_pio_link_vi(&pio_, interface_.handle(), vi, interface_.handle()), "link the PIO region");
      must(ef_pio_memcpy(vi, frame, 0, static_cast<int>(bytes_)), "fill the PIO region");
    }
    if (mode == Mode::kAlternatives) {
      must(ef_vi_transmit_alt_alloc(vi, interface_.handle(), 2, 2 * Interface::kBufferBytes), "make alternatives");
      fill_alternative();
    }
  }

  void send() {
    ef_vi* const vi = interface_.vi();
    switch (mode_) {
      case Mode::kDma:
        while (ef_vi_transmit(vi, interface_.transmit_address(0), static_cast<int>(bytes_), 0) == -EAGAIN) poll();
        break;
      case Mode::kPio:
        while (ef_vi_transmit_pio(vi, 0, static_cast<int>(bytes_), 0) == -EAGAIN) poll();
        break;
      case Mode::kCtpio:
        ef_vi_transmit_ctpio(vi, interface_.transmit_buffer(0), bytes_, 64);
        while (ef_vi_transmit_ctpio_fallback(vi, interface_.transmit_address(0), bytes_, 0) == -EAGAIN) poll();
        break;
      case Mode::kAlternatives:  // what was loaded goes, and the next is loaded while it flies
        must(ef_vi_transmit_alt_go(vi, alternative_), "send an alternative");
        alternative_ ^= 1;
        fill_alternative();
        break;
    }
  }

  void wait() {
    if (spins_) {
      // Buffers are used in the order of posting, and the last byte comes last.
      std::atomic_ref<uint8_t> last(interface_.received(next_)[bytes_ - 1]);
      while (last.load(std::memory_order_acquire) != kMark) {
      }
      last.store(0, std::memory_order_relaxed);
      next_ = (next_ + 1) % kBuffers;
    }
    while (arrived_ == 0) poll();
    --arrived_;
  }

 private:
  static constexpr uint8_t kMark = 0xa5;
  static uint64_t flags(Mode mode) {
    return mode == Mode::kCtpio ? EF_VI_TX_CTPIO : mode == Mode::kAlternatives ? EF_VI_TX_ALT : EF_VI_FLAGS_DEFAULT;
  }

  void fill_alternative() {
    ef_vi* const vi = interface_.vi();
    must(ef_vi_transmit_alt_stop(vi, alternative_), "stop an alternative");
    must(ef_vi_transmit_alt_select(vi, alternative_), "select an alternative");
    while (ef_vi_transmit(vi, interface_.transmit_address(0), static_cast<int>(bytes_), 0) == -EAGAIN) poll();
  }

  void poll() {
    ef_event events[8];
    const int count = ef_eventq_poll(interface_.vi(), events, 8);
    for (int i = 0; i < count; ++i) {
      if (EF_EVENT_TYPE(events[i]) == EF_EVENT_TYPE_RX) {
        interface_.post(EF_EVENT_RX_RQ_ID(events[i]));
        ef_vi_receive_push(interface_.vi());
        ++arrived_;
      } else {
        interface_.reap(events[i]);
      }
    }
  }

  const Mode mode_;
  const uint32_t bytes_;
  const bool spins_;
  Interface interface_;
  ef_pio pio_{};
  unsigned alternative_ = 0;
  uint32_t next_ = 0, arrived_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures the round-trip time between two ports: run pong on one, ping on the other");
  std::string role, port;
  Mode mode = Mode::kCtpio;
  uint32_t payload = 22, count = 100000, warm_up = 10000;
  bool spin = false;
  const std::map<std::string, Mode> modes = {
      {"dma", Mode::kDma}, {"pio", Mode::kPio}, {"ctpio", Mode::kCtpio}, {"alt", Mode::kAlternatives}};
  app.add_option("role", role)->required()->check(CLI::IsMember({"ping", "pong"}));
  app.add_option("port", port, "of the card")->required();
  app.add_option("--mode", mode, "how to send: dma, pio, ctpio, alt")->transform(CLI::CheckedTransformer(modes));
  app.add_option("--payload", payload, "bytes behind the UDP header")->check(CLI::Range(1, 1472));
  app.add_option("--count", count, "round trips that are measured");
  app.add_option("--warm-up", warm_up, "round trips before");
  app.add_flag("--spin-on-payload", spin, "wait for the last byte of the next buffer, not for the event");
  CLI11_PARSE(app, argc, argv);

  Player player(port, mode, payload, spin);
  const uint64_t trips = uint64_t{count} + warm_up;
  if (role == "pong") {
    for (uint64_t i = 0; i < trips; ++i) {
      player.wait();
      player.send();
    }
    return 0;
  }
  Histogram histogram;
  for (uint64_t i = 0; i < trips; ++i) {
    const uint64_t begin = now_ns();
    player.send();
    player.wait();
    if (i >= warm_up) histogram.add(now_ns() - begin);
  }
  histogram.print("round trip");
  return 0;
}
