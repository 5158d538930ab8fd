// SPDX-License-Identifier: Apache-2.0
// AF_XDP port: frames to and from a network interface of Linux, past its network stack, over XDP sockets.
//
// The card's packet memory is the sockets' UMEM (in chunks of a frame, data 256 bytes in), so a frame that came in at
// one port goes out at another without a copy, and drivers that can write it there themselves. Every queue
// registers the memory for itself: sockets that share one registration all hang on the first of them, and a port could
// not be removed while another used it.
#pragma once

#include <memory>
#include <string>

#include "base/clock.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::port {

struct AfXdpOptions {
  enum class Mode {
    kAuto,     // native where the driver can, else generic
    kNative,   // the program runs in the driver
    kGeneric,  // the program runs in the network stack: any interface, one more copy
  };
  enum class Copy {
    kAuto,      // the driver moves frames itself (zero-copy) where it can
    kCopy,      // the kernel copies
    kZeroCopy,  // or fail
  };
  std::string interface;
  Mode mode = Mode::kAuto;
  Copy copy = Copy::kAuto;
  // Of each ring, a power of two; a queue holds at most twice as many frames.
  uint32_t entries = 1024;
  // Above 0: SO_PREFER_BUSY_POLL, with this many microseconds; the worker then drives the interface's receive queue.
  uint32_t busy_poll_us = 0;
};

// Takes the interface of the calling thread's network namespace: queues 0 to info.queues - 1, and its MTU and MAC
// address into info(). Other queues of the interface stay with the host. `memory` and `clock` outlive the port. Needs
// CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF to open, none later. Errors: kBadInput (no such interface or queue),
// kUnsupported (the driver cannot do what the options ask for), kIo (no rights; another XDP program is attached; the
// queue is taken).
base::Result<std::unique_ptr<Port>> open_af_xdp(Info info, const AfXdpOptions& options, frame::Memory& memory,
                                                const base::Clock& clock);

}  // namespace xnic::nic::port
