// SPDX-License-Identifier: Apache-2.0
// A client of the bpf(2) socket that says anything. The input is a sequence of messages: {u16 bytes, u8 flags}, then as
// many bytes; flags say which descriptor goes along (none, a map, a program, standard input). All are sent before the
// daemon's side reads the first, and nothing comes after them, so a question that the input does not answer ends the
// connection at once.
#include <linux/bpf.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

#include "base/check.hpp"
#include "device/remote/session.hpp"
#include "nic/door/netlink.hpp"
#include "targets.hpp"

namespace xnic::tests::fuzz {

namespace {

using device::remote::Channel;
using device::remote::Session;
using exec::kernel::Fd;

constexpr size_t kMaxMessages = 24;  // no more than a socket takes
constexpr size_t kMaxBytes = 8192;

Fd make_map(device::Device& device) {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_HASH;
  attr.key_size = 4;
  attr.value_size = 8;
  attr.max_entries = 16;
  return Fd(static_cast<int>(device.bpf(BPF_MAP_CREATE, &attr, sizeof attr)));
}

Fd load(device::Device& device) {
  const uint64_t insns[] = {0x00000002000000b4, 0x0000000000000095};
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = reinterpret_cast<uint64_t>(insns);
  attr.insn_cnt = 2;
  attr.license = reinterpret_cast<uint64_t>("GPL");
  return Fd(static_cast<int>(device.bpf(BPF_PROG_LOAD, &attr, sizeof attr)));
}

void send_one(int socket, base::Bytes bytes, int descriptor) {
  iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  }
  sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

void fuzz_door(base::Bytes input) {
  device::Device device({.cpus = 2});
  device.add_port(101, "lan", 1);
  nic::door::Netlink network(
      device, [] { return std::vector<nic::door::PortFacts>{{.ifindex = 101, .name = "lan", .mtu = 1500}}; });
  const Fd map = make_map(device), program = load(device);
  const int descriptors[] = {-1, map.get(), program.get(), 0};
  int sockets[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
  const Fd client(sockets[0]);
  for (size_t i = 0; i < kMaxMessages && input.size() >= 3; ++i) {
    const size_t bytes = std::min<size_t>(base::load_le<uint16_t>(input.data()) % (kMaxBytes + 1), input.size() - 3);
    send_one(client.get(), input.subspan(3, bytes), descriptors[input[2] % 4]);
    input = input.subspan(3 + bytes);
  }
  shutdown(client.get(), SHUT_WR);
  Session session(device, network, Channel(Fd(sockets[1])), {.pid = getpid(), .uid = 0, .read_only = false});
  while (session.serve_one()) {
    char answer[512];  // what does not fit is cut off; the socket stays empty
    while (recv(client.get(), answer, sizeof answer, MSG_DONTWAIT) > 0) {
    }
  }
}

}  // namespace xnic::tests::fuzz
