// SPDX-License-Identifier: Apache-2.0
// Capture port: what it receives comes from a capture file, what it transmits goes to one. One queue.
#pragma once

#include <memory>
#include <string>

#include "base/clock.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::port {

struct CaptureOptions {
  enum class Pace {
    kNone,   // as fast as the card takes them
    kRate,   // `frames_per_second`
    kStamps  // as far apart as in the capture
  };
  std::string read_path{};  // pcap or pcapng; "-": standard input; empty: nothing is ever received
  std::string
      write_path{};    // pcapng; "-": standard output; empty: what is transmitted is dropped, counted as drop_down
  uint64_t loops = 1;  // how often the capture is read; 0: for ever. Above 1 it is held in memory.
  Pace pace = Pace::kNone;
  double frames_per_second = 0;
};

// The pace follows `clock`, which outlives the port. Errors: kBadInput (a number out of range; standard input more than
// once; not a capture), kIo.
base::Result<std::unique_ptr<Port>> open_capture(Info info, const CaptureOptions& options, const base::Clock& clock);

}  // namespace xnic::nic::port
