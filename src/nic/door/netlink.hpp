// SPDX-License-Identifier: Apache-2.0
// The card's ports as rtnetlink interfaces: RTM_GETLINK, and RTM_SETLINK / RTM_NEWLINK with IFLA_XDP.
//
// A port that takes a network interface of the client's namespace (af_xdp) and has that interface's index *is* that
// interface: the kernel answers for it, but for its XDP programs. Every other port is an interface of its own.
#pragma once

#include <functional>
#include <vector>

#include "device/device.hpp"
#include "device/remote/session.hpp"

namespace xnic::nic::door {

struct PortFacts {
  uint32_t ifindex = 0;
  std::string name{};
  std::array<uint8_t, 6> mac{};
  uint32_t mtu = 0;
  uint32_t queues = 1;
  bool up = true;
  std::string interface{};  // of the daemon's network namespace, that the port takes; empty: none
};

class Netlink final : public device::remote::Network {
 public:
  // Pre: `device` outlives this. `facts` may be called by any thread.
  Netlink(device::Device& device, std::function<std::vector<PortFacts>()> facts);
  std::vector<uint8_t> netlink(const device::Caller& caller, base::Bytes request, uint64_t namespace_inode) override;
  std::vector<device::remote::PortRecord> ports(uint64_t namespace_inode) override;

 private:
  struct View;
  std::vector<View> views(uint64_t namespace_inode) const;
  std::vector<uint8_t> change(const device::Caller& caller, base::Bytes request, const View& port) const;

  device::Device& device_;
  const std::function<std::vector<PortFacts>()> facts_;
  uint64_t own_namespace_ = 0;
};

}  // namespace xnic::nic::door
