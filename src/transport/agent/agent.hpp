// SPDX-License-Identifier: Apache-2.0
// The agent: the process on the card's application processor that owns the real TCP sockets.
//
// Host processes attach at a Unix socket; each gets a session with a link and a table of sockets of its own. One thread
// serves all: it takes messages from every session, gathers data for one connection into one sendmsg(2), reads readable
// connections straight into frames of the session that owns them, and hands each session's frames over once a turn.
//
// A session that breaks the protocol is cut off: its sockets end as if the process had died, the others do not notice.
// Nothing of a session grows without bound: data is limited by credit, answers by not taking questions while answers
// wait, sockets by a quota. A host that does not read fills its own credit; the agent then leaves its connections
// unread, and TCP closes the window to the remote peer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "transport/link/memory.hpp"

namespace xnic::transport::agent {

struct Options {
  std::string path;             // of the Unix socket
  uint32_t socket_mode = 0600;  // its permissions: who may attach
  uint32_t spin_us = 50;        // idle turns before it sleeps
  uint32_t max_sessions = 256;
  uint32_t max_sockets = 65536;        // of one session
  uint32_t window_bytes = 256 * 1024;  // of one connection, each way
  bool any_port = false;               // true: processes that are not root's may bind ports below 1024, too
  link::MemoryGeometry memory;
  // Not empty: one process at a time may have its link over XDP sockets on this interface (link/xdp.hpp).
  std::string interface{};
};

class Agent {
 public:
  // Serves the path from now on (the backlog holds who attaches before run()). Errors: kBadInput, kLimit (another agent
  // serves it), kIo.
  static base::Result<std::unique_ptr<Agent>> make(const Options& options);
  virtual ~Agent() = default;
  // Serves until stop(). Connections that stand at the end are closed in order.
  virtual void run() = 0;
  // From any thread, or a signal handler.
  virtual void stop() = 0;
};

// What the agent at `path` says of itself: JSON. Errors: as link::attach.
base::Result<std::string> ask_statistics(const std::string& path);

}  // namespace xnic::transport::agent
