// SPDX-License-Identifier: Apache-2.0
// Captures what a port receives, or what it sends, into a pcapng file, without taking it from anybody. Sleeps while
// nothing comes.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>

#include "common.h"

namespace {

using namespace efvi;

constexpr uint32_t kBuffers = 500;

// pcapng (IETF draft-ietf-opsawg-pcapng): a section, one Ethernet interface with nanoseconds, enhanced packet blocks.
class Capture {
 public:
  explicit Capture(const std::string& path) : file_(path == "-" ? stdout : std::fopen(path.c_str(), "wbe")) {
    if (file_ == nullptr) must(-errno, "write the file");
    const uint32_t section[] = {0x0a0d0d0a, 28, 0x1a2b3c4d, 1, ~0u, ~0u, 28};
    // if_tsresol 9: nanoseconds.
    const uint32_t interface[] = {1, 32, 1, 0, 1 << 16 | 9, 9, 0, 32};
    std::fwrite(section, sizeof section, 1, file_);
    std::fwrite(interface, sizeof interface, 1, file_);
  }
  ~Capture() { std::fclose(file_); }
  void write(const uint8_t* frame, uint32_t bytes, uint64_t ns) {
    const uint32_t padded = (bytes + 3) / 4 * 4, length = 32 + padded;
    const uint32_t head[] = {6, length, 0, static_cast<uint32_t>(ns >> 32), static_cast<uint32_t>(ns), bytes, bytes};
    const uint32_t zero = 0;
    std::fwrite(head, sizeof head, 1, file_);
    std::fwrite(frame, bytes, 1, file_);
    std::fwrite(&zero, padded - bytes, 1, file_);
    std::fwrite(&length, sizeof length, 1, file_);
  }
  void flush() { std::fflush(file_); }

 private:
  FILE* const file_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Captures frames of a port into a pcapng file");
  std::string port, path = "-";
  uint64_t count = 0;
  bool sent = false;
  app.add_option("port", port, "of the card")->required();
  app.add_option("--out", path, "file; - is the standard output");
  app.add_option("--count", count, "end after so many frames; 0: never");
  app.add_flag("--sent", sent, "what the port sends, not what it receives");
  CLI11_PARSE(app, argc, argv);

  Interface interface(port, EF_VI_RX_TIMESTAMPS, kBuffers, 0);
  ef_filter_spec spec;
  ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
  must(sent ? ef_filter_spec_set_tx_port_sniff(&spec) : ef_filter_spec_set_port_sniff(&spec, 1), "set a filter");
  must(ef_vi_filter_add(interface.vi(), interface.handle(), &spec, nullptr), "add a filter");
  Capture capture(path);
  fmt::print(stderr, "ready\n");
  uint64_t captured = 0;
  const auto wanted = [&] { return count == 0 || captured < count; };
  while (wanted()) {
    ef_event events[32];
    const int number = ef_eventq_poll(interface.vi(), events, 32);
    for (int i = 0; i < number && wanted(); ++i) {
      if (EF_EVENT_TYPE(events[i]) == EF_EVENT_TYPE_RESET) return 0;
      if (EF_EVENT_TYPE(events[i]) != EF_EVENT_TYPE_RX && EF_EVENT_TYPE(events[i]) != EF_EVENT_TYPE_RX_DISCARD)
        continue;
      const uint32_t buffer = EF_EVENT_RX_RQ_ID(events[i]);
      const uint8_t* const frame = interface.received(buffer);
      ef_precisetime time;
      (void)ef_vi_receive_get_precise_timestamp(interface.vi(), frame - interface.prefix(), &time);
      capture.write(frame, EF_EVENT_RX_BYTES(events[i]) - interface.prefix(),
                    time.tv_sec * 1'000'000'000 + time.tv_nsec);
      ++captured;
      interface.post(buffer);
    }
    if (number != 0) {
      ef_vi_receive_push(interface.vi());
    } else {
      capture.flush();
      (void)ef_eventq_wait(interface.vi(), interface.handle(), ef_eventq_current(interface.vi()), nullptr);
    }
  }
  return 0;
}
