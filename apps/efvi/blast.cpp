// SPDX-License-Identifier: Apache-2.0
// Packet source and sink: `send PORT` sends numbered frames as fast as it can, or at a rate; `receive PORT` counts and
// checks them: none altered, none out of order, none twice, and how many are missing.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstring>

#include "common.h"

namespace {

using namespace efvi;

constexpr uint32_t kTo = 0x0a000002;
constexpr uint16_t kPort = 7000;
constexpr uint32_t kSendBuffers = 64, kReceiveBuffers = 500;
constexpr uint32_t kBatch = 16;

uint8_t pattern(uint64_t number, uint32_t at) { return static_cast<uint8_t>(number * 31 + at); }

// Each frame has its number and bytes that follow from it. Checksums are the card's work.
int send(const std::string& port, uint32_t bytes, uint64_t count, double rate) {
  Interface interface(port, EF_VI_FLAGS_DEFAULT, 0, kSendBuffers);
  const uint32_t payload = bytes - kHeaderBytes;
  for (uint32_t i = 0; i < kSendBuffers; ++i)
    write_headers(interface.transmit_buffer(i), interface.mac(), 0x0a000001, kTo, kPort, payload);
  uint64_t sent = 0, completed = 0;
  const uint64_t begin = now_ns();
  ef_event events[16];
  while (completed < count) {
    const uint64_t due = rate == 0 ? count : static_cast<uint64_t>(static_cast<double>(now_ns() - begin) * rate / 1e9);
    const uint64_t target = std::min({count, due, completed + kSendBuffers, sent + kBatch});
    if (sent < target) {
      for (; sent < target; ++sent) {
        const auto buffer = static_cast<uint32_t>(sent % kSendBuffers);
        uint8_t* const data = interface.transmit_buffer(buffer) + kHeaderBytes;
        std::memcpy(data, &sent, 8);
        for (uint32_t at = 8; at < payload; ++at) data[at] = pattern(sent, at);
        must(ef_vi_transmit_init(interface.vi(), interface.transmit_address(buffer), static_cast<int>(bytes), 1),
             "send");
      }
      ef_vi_transmit_push(interface.vi());
    }
    const int got = ef_eventq_poll(interface.vi(), events, 16);
    for (int i = 0; i < got; ++i) completed += interface.reap(events[i]);
  }
  const double seconds = static_cast<double>(now_ns() - begin) / 1e9;
  fmt::print("sent {} frames of {} bytes, {:.3f} million a second\n", count, bytes,
             static_cast<double>(count) / seconds / 1e6);
  return 0;
}

int receive(const std::string& port, uint64_t count, double idle_seconds) {
  Interface interface(port, EF_VI_FLAGS_DEFAULT, kReceiveBuffers, 0);
  interface.take_udp(kTo, kPort);
  fmt::print("ready\n");
  std::fflush(stdout);
  uint64_t got = 0, next = 0, missing = 0, wrong = 0, first_ns = 0, last_ns = now_ns();
  while (next < count) {
    ef_event events[64];
    const int number = ef_eventq_poll(interface.vi(), events, 64);
    if (number == 0) {
      if (first_ns != 0 && static_cast<double>(now_ns() - last_ns) > idle_seconds * 1e9) break;
      continue;
    }
    last_ns = now_ns();
    if (first_ns == 0) first_ns = last_ns;
    for (int i = 0; i < number; ++i) {
      const unsigned type = EF_EVENT_TYPE(events[i]);
      if (type != EF_EVENT_TYPE_RX && type != EF_EVENT_TYPE_RX_DISCARD) continue;
      const uint32_t buffer = EF_EVENT_RX_RQ_ID(events[i]);
      const uint32_t payload = EF_EVENT_RX_BYTES(events[i]) - interface.prefix() - kHeaderBytes;
      const uint8_t* const data = interface.received(buffer) + kHeaderBytes;
      uint64_t sequence;
      std::memcpy(&sequence, data, 8);
      bool good = type == EF_EVENT_TYPE_RX && sequence >= next;
      for (uint32_t at = 8; at < payload; ++at) good &= data[at] == pattern(sequence, at);
      if (good) {
        missing += sequence - next;
        next = sequence + 1;
        ++got;
      } else {
        ++wrong;
      }
      interface.post(buffer);
    }
    ef_vi_receive_push(interface.vi());
  }
  missing += count - next;
  const double seconds = static_cast<double>(last_ns - first_ns) / 1e9;
  fmt::print("received {} frames, {:.3f} million a second; {} missing, {} wrong\n", got,
             seconds > 0 ? static_cast<double>(got) / seconds / 1e6 : 0, missing, wrong);
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Sends numbered frames, or receives and checks them");
  std::string role, port;
  uint32_t bytes = 64;
  uint64_t count = 1000000;
  double rate = 0, idle = 2;
  app.add_option("role", role)->required()->check(CLI::IsMember({"send", "receive"}));
  app.add_option("port", port, "of the card")->required();
  app.add_option("--bytes", bytes, "of a frame")->check(CLI::Range(60, 1514));
  app.add_option("--count", count, "frames");
  app.add_option("--rate", rate, "frames a second; 0: as fast as it goes");
  app.add_option("--idle", idle, "seconds without a frame after which receiving ends");
  CLI11_PARSE(app, argc, argv);
  return role == "send" ? send(port, bytes, count, rate) : receive(port, count, idle);
}
