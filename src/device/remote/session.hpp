// SPDX-License-Identifier: Apache-2.0
// One connection of a client of the card, served until it ends: bpf(2) commands, and the questions beside them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "device/caller.hpp"
#include "device/device.hpp"
#include "device/remote/channel.hpp"

namespace xnic::device::remote {

// rtnetlink of the card (nic/door): request and network namespace of the client -> what it receives.
using Netlink = std::function<std::vector<uint8_t>(base::Bytes request, uint64_t namespace_inode, const Peer& peer)>;

class Session {
 public:
  // Pre: `device` and `netlink` outlive the session.
  Session(Device& device, const Netlink& netlink, Channel channel, Peer peer);
  // Serves one conversation that has begun (the socket can be read). False: the connection is to be closed.
  bool serve_one();
  int fd() const { return channel_.fd(); }

 private:
  bool call(Message& message);
  bool question(Message& message);
  bool reply(int64_t value, base::Bytes bytes, int descriptor = -1, int second_descriptor = -1);
  bool pins(const std::string& folder);

  Device& device_;
  const Netlink& netlink_;
  Channel channel_;
  const Peer peer_;
  std::vector<FileIdentity> tokens_;
  Message message_;
};

}  // namespace xnic::device::remote
