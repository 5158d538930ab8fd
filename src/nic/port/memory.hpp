// SPDX-License-Identifier: Apache-2.0
// Memory port, the card's side: frames to and from another process over shared memory.
//
// The port listens on a Unix socket. A peer that connects gets a region of its own (memory_region.hpp) and is attached
// until it closes the connection, dies, or breaks a ring; then the next one can attach. One peer at a time.
//
// The peer is not trusted. What it writes is copied before it is looked at and never used as an address; frames are
// copied out of the region before a program sees them. All it can do is lose its own traffic, and the connection.
#pragma once

#include <memory>
#include <string>

#include "nic/port/port.hpp"

namespace xnic::nic::port {

struct MemoryOptions {
  std::string path;             // of the Unix socket; made by the port and removed with it
  uint32_t entries = 1024;      // of each ring, a power of two
  uint32_t socket_mode = 0600;  // who may attach, as chmod(2) has it
};

// `info` has the name, ifindex, MAC address, MTU (which sets the size of the buffers), queues and lossless of the port.
// Errors: kBadInput (a number out of range, a path that is
// too long or a file that is no socket), kLimit (another process serves the path), kIo.
base::Result<std::unique_ptr<Port>> open_memory(Info info, const MemoryOptions& options);

}  // namespace xnic::nic::port
