// SPDX-License-Identifier: Apache-2.0
// Answers to rtnetlink requests (net/core/rtnetlink.c), as far as they are about the card's ports; an empty answer
// leaves the request to the kernel. The messages of a refused attachment are those of net/core/dev.c dev_xdp_attach.
#include "nic/door/netlink.hpp"

#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "nic/door/netlink_message.hpp"

namespace xnic::nic::door {

using device::remote::PortRecord;

struct Netlink::View {
  PortFacts facts;
  bool is_interface;  // of the client's namespace
  device::XdpState xdp;
};

namespace {

constexpr uint16_t kNested = NLA_F_NESTED;
constexpr uint32_t kLowerUp = 1u << 16;  // IFF_LOWER_UP; linux/if.h and net/if.h cannot be had together

// IFLA_XDP as net/core/rtnetlink.c rtnl_xdp_fill reports one program.
void add_xdp(MessageBuilder& message, const device::XdpState& xdp) {
  const size_t nest = message.begin_nest(IFLA_XDP | kNested);
  struct {
    uint8_t attached;
    uint16_t id;
  } how = {XDP_ATTACHED_NONE, 0};
  if (xdp.program_id != 0)
    how = xdp.mode == XDP_FLAGS_SKB_MODE  ? decltype(how){XDP_ATTACHED_SKB, IFLA_XDP_SKB_PROG_ID}
          : xdp.mode == XDP_FLAGS_HW_MODE ? decltype(how){XDP_ATTACHED_HW, IFLA_XDP_HW_PROG_ID}
                                          : decltype(how){XDP_ATTACHED_DRV, IFLA_XDP_DRV_PROG_ID};
  message.byte(IFLA_XDP_ATTACHED, how.attached);
  if (xdp.program_id != 0) {
    message.number(IFLA_XDP_PROG_ID, xdp.program_id);
    message.number(how.id, xdp.program_id);
  }
  message.end_nest(nest);
}

std::vector<uint8_t> link_message(const nlmsghdr& request, const PortFacts& port, const device::XdpState& xdp,
                                  uint16_t flags) {
  constexpr uint32_t kTransmitQueue = 1000;
  constexpr uint8_t kOperUp = 6, kOperDown = 2;  // IF_OPER_*
  MessageBuilder message(request, RTM_NEWLINK, flags);
  ifinfomsg head{};
  head.ifi_type = ARPHRD_ETHER;
  head.ifi_index = static_cast<int>(port.ifindex);
  head.ifi_flags = IFF_BROADCAST | IFF_MULTICAST | IFF_UP | (port.up ? IFF_RUNNING | kLowerUp : 0u);
  message.raw(&head, sizeof head);
  message.text(IFLA_IFNAME, port.name);
  message.number(IFLA_TXQLEN, kTransmitQueue);
  message.byte(IFLA_OPERSTATE, port.up ? kOperUp : kOperDown);
  message.byte(IFLA_LINKMODE, 0);
  message.number(IFLA_MTU, port.mtu);
  message.number(IFLA_GROUP, 0);
  message.number(IFLA_PROMISCUITY, 0);
  message.number(IFLA_NUM_TX_QUEUES, port.queues);
  message.number(IFLA_NUM_RX_QUEUES, port.queues);
  message.byte(IFLA_CARRIER, port.up ? 1 : 0);
  message.text(IFLA_QDISC, "noqueue");
  constexpr std::array<uint8_t, 6> kBroadcast{255, 255, 255, 255, 255, 255};
  message.attribute(IFLA_ADDRESS, port.mac.data(), port.mac.size());
  message.attribute(IFLA_BROADCAST, kBroadcast.data(), kBroadcast.size());
  add_xdp(message, xdp);
  return message.finish();
}

void append(std::vector<uint8_t>& to, const std::vector<uint8_t>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

}  // namespace

Netlink::Netlink(device::Device& device, std::function<std::vector<PortFacts>()> facts)
    : device_(device), facts_(std::move(facts)) {
  struct stat status{};
  if (stat("/proc/self/ns/net", &status) == 0) own_namespace_ = status.st_ino;
}

std::vector<Netlink::View> Netlink::views(uint64_t namespace_inode) const {
  std::vector<View> views;
  for (PortFacts& port : facts_()) {
    if (port.name.size() >= IFNAMSIZ) continue;  // no tool could name it
    const bool same = namespace_inode == own_namespace_ && !port.interface.empty() &&
                      if_nametoindex(port.interface.c_str()) == port.ifindex;
    if (same) port.name = port.interface;
    const auto xdp = device_.xdp_state(port.ifindex);
    views.push_back({std::move(port), same, xdp});
  }
  return views;
}

std::vector<PortRecord> Netlink::ports(uint64_t namespace_inode) {
  std::vector<PortRecord> records;
  for (const View& view : views(namespace_inode)) {
    PortRecord record;
    record.ifindex = view.facts.ifindex;
    record.is_interface = view.is_interface ? 1 : 0;
    record.program_id = view.xdp.program_id;
    record.mtu = view.facts.mtu;
    record.up = view.facts.up ? 1 : 0;
    std::ranges::copy(view.facts.mac, record.mac);
    view.facts.name.copy(record.name, sizeof record.name - 1);
    records.push_back(record);
  }
  return records;
}

std::vector<uint8_t> Netlink::change(const device::Caller& caller, base::Bytes request, const View& port) const {
  nlmsghdr head;
  ifinfomsg info;
  std::memcpy(&head, request.data(), sizeof head);
  std::memcpy(&info, request.data() + NLMSG_HDRLEN, sizeof info);
  const base::Bytes attributes = request.subspan(NLMSG_SPACE(sizeof info));
  const auto xdp = find_attribute(attributes, IFLA_XDP);
  if (port.is_interface && !xdp) return {};
  const auto refuse = [&](int error, const std::string& why) { return acknowledge(request, error, why); };
  if (caller.read_only()) return refuse(-EPERM, "");
  if (head.nlmsg_type == RTM_DELLINK)
    return refuse(-EOPNOTSUPP, "A port of the card is removed with xnic ports remove");
  if ((head.nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL)) == (NLM_F_CREATE | NLM_F_EXCL)) return refuse(-EEXIST, "");
  const bool wants_down = (info.ifi_change & IFF_UP) != 0 && (info.ifi_flags & IFF_UP) == 0;
  const bool other_flags = info.ifi_change != ~0u && (info.ifi_change & ~unsigned{IFF_UP}) != 0;
  if (wants_down || other_flags || has_others(attributes, {IFLA_XDP, IFLA_IFNAME, IFLA_ALT_IFNAME, IFLA_EXT_MASK}))
    return refuse(-EOPNOTSUPP, "Of a port of the card only XDP programs can be changed");
  if (xdp) {
    device::XdpRequest order;
    order.ifindex = port.facts.ifindex;
    // net/core/rtnetlink.c do_setlink: what only reports may not be given; a replacement names what it replaces.
    const auto flags = number_attribute(*xdp, IFLA_XDP_FLAGS);
    order.flags = flags.value_or(0);
    const auto fd = number_attribute(*xdp, IFLA_XDP_FD), expected = number_attribute(*xdp, IFLA_XDP_EXPECTED_FD);
    if (find_attribute(*xdp, IFLA_XDP_ATTACHED) || find_attribute(*xdp, IFLA_XDP_PROG_ID)) return refuse(-EINVAL, "");
    if ((order.flags & ~uint32_t{XDP_FLAGS_MASK}) != 0 || std::popcount(order.flags & XDP_FLAGS_MODES) > 1)
      return refuse(-EINVAL, "");
    if ((order.flags & XDP_FLAGS_REPLACE) != 0 && !expected) return refuse(-EINVAL, "");
    if (expected) order.expected_fd = static_cast<int>(*expected);
    if (fd) {
      order.fd = static_cast<int>(*fd);
      std::string why;
      if (int error = device_.attach_xdp(caller, order, why)) return refuse(error, why);
    }
  }
  if ((head.nlmsg_flags & NLM_F_ACK) != 0) return acknowledge(request, 0, "");
  return MessageBuilder(head, NLMSG_NOOP, 0).finish();  // done, and nothing to receive
}

std::vector<uint8_t> Netlink::netlink(const device::Caller& caller, base::Bytes request, uint64_t namespace_inode) {
  nlmsghdr head;
  ifinfomsg info;
  if (request.size() < NLMSG_SPACE(sizeof info)) return {};
  std::memcpy(&head, request.data(), sizeof head);
  std::memcpy(&info, request.data() + NLMSG_HDRLEN, sizeof info);
  if (head.nlmsg_len < NLMSG_SPACE(sizeof info) || head.nlmsg_len > request.size()) return {};
  request = request.first(head.nlmsg_len);
  const base::Bytes attributes = request.subspan(NLMSG_SPACE(sizeof info));
  const std::vector<View> ports = views(namespace_inode);
  if (head.nlmsg_type == RTM_GETLINK && (head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
    std::vector<uint8_t> answer;
    const bool of_all = info.ifi_family == AF_UNSPEC || info.ifi_family == AF_PACKET;
    if (!of_all || has_others(attributes, {IFLA_EXT_MASK})) return {};
    for (const View& port : ports)
      if (!port.is_interface) append(answer, link_message(head, port.facts, port.xdp, NLM_F_MULTI));
    return answer;
  }
  auto name = text_attribute(attributes, IFLA_IFNAME);
  if (!name) name = text_attribute(attributes, IFLA_ALT_IFNAME);
  const auto port = std::ranges::find_if(ports, [&](const View& view) {
    return info.ifi_index != 0 ? static_cast<int>(view.facts.ifindex) == info.ifi_index : name == view.facts.name;
  });
  if (port == ports.end()) return {};
  if (head.nlmsg_type != RTM_GETLINK) return change(caller, request, *port);
  if (port->is_interface) return {};
  std::vector<uint8_t> answer = link_message(head, port->facts, port->xdp, 0);
  if ((head.nlmsg_flags & NLM_F_ACK) != 0) append(answer, acknowledge(request, 0, ""));
  return answer;
}

}  // namespace xnic::nic::door
