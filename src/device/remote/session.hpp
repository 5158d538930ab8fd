// SPDX-License-Identifier: Apache-2.0
// One connection of a client of the card, served until it ends: bpf(2) commands, and the questions beside them.
#pragma once

#include <string>
#include <vector>

#include "device/caller.hpp"
#include "device/device.hpp"
#include "device/remote/channel.hpp"

namespace xnic::device::remote {

// The card's ports as interfaces (nic/door). A namespace is named by the inode of /proc/PID/ns/net. Thread-safe.
class Network {
 public:
  virtual ~Network() = default;
  // What the client receives for a rtnetlink message; empty: it is the kernel's to answer.
  virtual std::vector<uint8_t> netlink(const Caller& caller, base::Bytes request, uint64_t namespace_inode) = 0;
  virtual std::vector<PortRecord> ports(uint64_t namespace_inode) = 0;
};

class Session {
 public:
  // Pre: `device` and `network` outlive the session.
  Session(Device& device, Network& network, Channel channel, Peer peer);
  // Serves one conversation that has begun (the socket can be read). False: the connection is to be closed.
  bool serve_one();
  int fd() const { return channel_.fd(); }

 private:
  bool call(Message& message);
  bool question(Message& message);
  bool reply(int64_t value, base::Bytes bytes, int descriptor = -1, int second_descriptor = -1);
  bool pins(const std::string& folder);

  Device& device_;
  Network& network_;
  Channel channel_;
  const Peer peer_;
  std::vector<FileIdentity> tokens_;
  Message message_;
};

}  // namespace xnic::device::remote
