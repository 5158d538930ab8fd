// SPDX-License-Identifier: Apache-2.0
#include "nic/door/netlink.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>

#include <cerrno>

#include "exec/kernel/bpf_call.hpp"
#include "nic/door/netlink_message.hpp"

namespace xnic::nic::door {
namespace {

using exec::kernel::Fd;

constexpr uint64_t kOtherNamespace = 1;

struct Answered {
  int error = 1;  // 1: no acknowledgement came
  std::string message;
  std::vector<uint8_t> bytes;
};

class DoorNetlink : public testing::Test {
 protected:
  DoorNetlink() {
    device_.add_port(101, "lan", 1);
    device_.add_port(102, "wan", 1);
    pass_ = load(0);
    drop_ = load(0);
  }
  // A program that drops all, bound to a port if `ifindex` is not 0.
  Fd load(uint32_t ifindex) {
    const uint64_t insns[] = {0x00000001000000b4, 0x0000000000000095};  // w0 = 1; exit
    bpf_attr attr{};
    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = reinterpret_cast<uint64_t>(insns);
    attr.insn_cnt = 2;
    attr.license = reinterpret_cast<uint64_t>("GPL");
    attr.prog_ifindex = ifindex;
    Fd fd(static_cast<int>(device_.bpf(BPF_PROG_LOAD, &attr, sizeof attr)));
    EXPECT_GE(fd.get(), 0);
    return fd;
  }
  Answered ask(std::vector<uint8_t> request) {
    Answered answered;
    answered.bytes = netlink_.netlink(caller_, request, kOtherNamespace);
    const base::Bytes bytes = answered.bytes;
    nlmsghdr head;
    if (bytes.size() < sizeof head) return answered;
    std::memcpy(&head, bytes.data(), sizeof head);
    if (head.nlmsg_type != NLMSG_ERROR) return answered;
    answered.error = base::load<int>(bytes.data() + sizeof head);
    const size_t echoed = (head.nlmsg_flags & NLM_F_CAPPED) != 0 ? sizeof head : request.size();
    if ((head.nlmsg_flags & NLM_F_ACK_TLVS) != 0)
      answered.message = text_attribute(bytes.subspan(sizeof head + sizeof(int) + echoed), NLMSGERR_ATTR_MSG).value();
    return answered;
  }
  static MessageBuilder request(uint16_t type, uint16_t flags, int ifindex) {
    nlmsghdr from{};
    from.nlmsg_seq = 7;
    from.nlmsg_pid = 9;
    MessageBuilder message(from, type, static_cast<uint16_t>(NLM_F_REQUEST | flags));
    ifinfomsg info{};
    info.ifi_index = ifindex;
    message.raw(&info, sizeof info);
    return message;
  }
  Answered attach(int ifindex, int fd, uint32_t flags, std::optional<int> expected = std::nullopt) {
    MessageBuilder message = request(RTM_SETLINK, NLM_F_ACK, ifindex);
    const size_t nest = message.begin_nest(IFLA_XDP | NLA_F_NESTED);
    message.number(IFLA_XDP_FD, static_cast<uint32_t>(fd));
    message.number(IFLA_XDP_FLAGS, flags);
    if (expected) message.number(IFLA_XDP_EXPECTED_FD, static_cast<uint32_t>(*expected));
    message.end_nest(nest);
    return ask(message.finish());
  }
  bool runs(uint32_t ifindex) const { return device_.port_program(ifindex) != nullptr; }

  device::Device device_;
  Netlink netlink_{device_, [] {
                     return std::vector<PortFacts>{
                         {.ifindex = 101, .name = "lan", .mac = {2, 0, 0, 0, 0, 9}, .mtu = 1500},
                         {.ifindex = 102, .name = "wan", .mtu = 9000, .up = false},
                         {.ifindex = 103, .name = "a-name-that-is-too-long", .mtu = 1500}};
                   }};
  device::LocalCaller caller_;
  Fd pass_, drop_;
};

TEST_F(DoorNetlink, ports_are_in_a_dump_of_all_interfaces) {
  const auto answer = ask(request(RTM_GETLINK, NLM_F_DUMP, 0).finish());
  std::vector<std::string> names;
  for (size_t at = 0; at < answer.bytes.size();) {
    nlmsghdr head;
    std::memcpy(&head, answer.bytes.data() + at, sizeof head);
    EXPECT_EQ(head.nlmsg_type, RTM_NEWLINK);
    EXPECT_EQ(head.nlmsg_seq, 7u);
    EXPECT_EQ(head.nlmsg_pid, 9u);
    EXPECT_NE(head.nlmsg_flags & NLM_F_MULTI, 0);
    const base::Bytes message = base::Bytes(answer.bytes).subspan(at, head.nlmsg_len);
    names.push_back(text_attribute(message.subspan(NLMSG_SPACE(sizeof(ifinfomsg))), IFLA_IFNAME).value());
    at += NLMSG_ALIGN(head.nlmsg_len);
  }
  EXPECT_THAT(names, testing::ElementsAre("lan", "wan"));
}

TEST_F(DoorNetlink, a_port_is_found_by_name_and_others_are_left_to_the_kernel) {
  MessageBuilder message = request(RTM_GETLINK, 0, 0);
  message.text(IFLA_IFNAME, "lan");
  EXPECT_FALSE(ask(message.finish()).bytes.empty());
  message = request(RTM_GETLINK, 0, 0);
  message.text(IFLA_IFNAME, "lo");
  EXPECT_TRUE(ask(message.finish()).bytes.empty());
  EXPECT_TRUE(ask(request(RTM_SETLINK, 0, 1).finish()).bytes.empty());
  EXPECT_TRUE(ask({1, 2, 3}).bytes.empty());
}

TEST_F(DoorNetlink, a_program_stays_until_it_is_removed) {
  EXPECT_EQ(attach(101, pass_.get(), 0).error, 0);
  pass_ = Fd();
  device_.port_program(101);
  EXPECT_TRUE(runs(101));
  EXPECT_EQ(attach(101, -1, 0).error, 0);
  EXPECT_FALSE(runs(101));
  EXPECT_EQ(attach(101, -1, 0).error, 0) << "removing what is not there is harmless";
}

TEST_F(DoorNetlink, attachments_are_refused_as_the_kernel_refuses_them) {
  const Fd bound = load(102);
  EXPECT_EQ(attach(101, bound.get(), 0).message, "Using offloaded program without HW_MODE flag is not supported");
  EXPECT_EQ(attach(101, bound.get(), XDP_FLAGS_HW_MODE).message, "Program bound to different device");
  EXPECT_EQ(attach(101, pass_.get(), XDP_FLAGS_HW_MODE).message, "xdpoffload of non-bound program");
  EXPECT_EQ(attach(101, 0, 0).error, -EINVAL);
  EXPECT_EQ(attach(101, 9999, 0).error, -EBADF);
  EXPECT_EQ(attach(101, pass_.get(), XDP_FLAGS_DRV_MODE | XDP_FLAGS_SKB_MODE).error, -EINVAL);
  EXPECT_EQ(attach(101, pass_.get(), XDP_FLAGS_REPLACE).error, -EINVAL) << "needs what is replaced";
  EXPECT_FALSE(runs(101));
  ASSERT_EQ(attach(101, pass_.get(), XDP_FLAGS_UPDATE_IF_NOEXIST).error, 0);
  const auto second = attach(101, drop_.get(), XDP_FLAGS_UPDATE_IF_NOEXIST);
  EXPECT_EQ(second.error, -EBUSY);
  EXPECT_EQ(second.message, "XDP program already attached");
  const auto generic = attach(101, drop_.get(), XDP_FLAGS_SKB_MODE);
  EXPECT_EQ(generic.error, -EEXIST);
  EXPECT_EQ(generic.message, "Native and generic XDP can't be active at the same time");
  EXPECT_EQ(attach(101, drop_.get(), XDP_FLAGS_REPLACE, drop_.get()).message, "Active program does not match expected");
  EXPECT_EQ(attach(101, drop_.get(), XDP_FLAGS_REPLACE, pass_.get()).error, 0);
}

TEST_F(DoorNetlink, links_and_attachments_keep_each_other_out) {
  bpf_attr attr{};
  attr.link_create.prog_fd = static_cast<uint32_t>(pass_.get());
  attr.link_create.target_ifindex = 101;
  attr.link_create.attach_type = BPF_XDP;
  {
    const Fd link(static_cast<int>(device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr)));
    ASSERT_GE(link.get(), 0);
    const auto refused = attach(101, drop_.get(), 0);
    EXPECT_EQ(refused.error, -EBUSY);
    EXPECT_EQ(refused.message, "Can't replace active BPF XDP link");
  }
  EXPECT_EQ(attach(101, drop_.get(), 0).error, 0) << "the link went with its handle";
  EXPECT_EQ(device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr), -EBUSY);
}

TEST_F(DoorNetlink, nothing_else_of_a_port_can_be_changed) {
  MessageBuilder message = request(RTM_NEWLINK, NLM_F_ACK, 101);
  message.number(IFLA_MTU, 9000);
  EXPECT_EQ(ask(message.finish()).error, -EOPNOTSUPP);
  EXPECT_EQ(ask(request(RTM_DELLINK, NLM_F_ACK, 101).finish()).error, -EOPNOTSUPP);
}

TEST_F(DoorNetlink, attributes_that_do_not_fit_are_not_read) {
  MessageBuilder message = request(RTM_SETLINK, NLM_F_ACK, 101);
  message.number(IFLA_XDP | NLA_F_NESTED, 0xffffffff);  // a nest whose first attribute is longer than the nest
  EXPECT_EQ(ask(message.finish()).error, 0);
  EXPECT_FALSE(runs(101));
}

}  // namespace
}  // namespace xnic::nic::door
