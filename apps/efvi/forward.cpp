// SPDX-License-Identifier: Apache-2.0
// Forwards everything between two ports, both ways, without a copy of its own: a frame is sent from the buffer that it
// was received into, and the buffer is posted again when it has left.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "common.h"

namespace {

using namespace efvi;

constexpr uint32_t kBuffers = 500;
volatile std::sig_atomic_t stop = 0;

// From `in` to `out`; the memory of `in` is registered with the domain of `out` too.
class Direction {
 public:
  Direction(Interface& in, Interface& out) : in_(in), out_(out), base_(out.register_memory_of(in)) {}
  // The event of `in`. A frame that does not fit into the ring of `out` is dropped.
  void received(const ef_event& event) {
    const uint32_t buffer = EF_EVENT_RX_RQ_ID(event);
    const int bytes = static_cast<int>(EF_EVENT_RX_BYTES(event)) - static_cast<int>(in_.prefix());
    const ef_addr frame = base_ + buffer * ef_addr{Interface::kBufferBytes} + in_.prefix();
    if (EF_EVENT_TYPE(event) == EF_EVENT_TYPE_RX &&
        ef_vi_transmit_init(out_.vi(), frame, bytes, static_cast<int>(buffer)) == 0) {
      ++frames_, ++unpushed_;
    } else {
      in_.post(buffer);
    }
  }
  void sent(const ef_event& event) {
    ef_request_id ids[EF_VI_TRANSMIT_BATCH];
    const int count = ef_vi_transmit_unbundle(out_.vi(), &event, ids);
    for (int i = 0; i < count; ++i) in_.post(static_cast<uint32_t>(ids[i]));
  }
  void push() {
    if (unpushed_ != 0) ef_vi_transmit_push(out_.vi());
    unpushed_ = 0;
    ef_vi_receive_push(in_.vi());
  }
  uint64_t frames() const { return frames_; }

 private:
  Interface& in_;
  Interface& out_;
  const ef_addr base_;
  uint64_t frames_ = 0;
  uint32_t unpushed_ = 0;
};

void poll(Interface& interface, Direction& from_here, Direction& to_here) {
  ef_event events[64];
  const int count = ef_eventq_poll(interface.vi(), events, 64);
  for (int i = 0; i < count; ++i) {
    switch (EF_EVENT_TYPE(events[i])) {
      case EF_EVENT_TYPE_RX:
      case EF_EVENT_TYPE_RX_DISCARD:
        from_here.received(events[i]);
        break;
      case EF_EVENT_TYPE_TX:
        to_here.sent(events[i]);
        break;
      case EF_EVENT_TYPE_RESET:
        stop = 1;
        break;
      default:
        break;
    }
  }
  if (count != 0) {
    from_here.push();
    to_here.push();
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Forwards all frames between two ports of the card until a signal comes");
  std::string left_port, right_port;
  app.add_option("left", left_port)->required();
  app.add_option("right", right_port)->required();
  CLI11_PARSE(app, argc, argv);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stop = 1; });
  Interface left(left_port, EF_VI_FLAGS_DEFAULT, kBuffers, 1), right(right_port, EF_VI_FLAGS_DEFAULT, kBuffers, 1);
  Direction to_right(left, right), to_left(right, left);
  left.take_all();
  right.take_all();
  fmt::print("ready\n");
  std::fflush(stdout);
  while (stop == 0) {
    poll(left, to_right, to_left);
    poll(right, to_left, to_right);
  }
  fmt::print("{} frames to {}, {} to {}\n", to_right.frames(), right_port, to_left.frames(), left_port);
  return 0;
}
