// SPDX-License-Identifier: Apache-2.0
// rtnetlink: requests about the card's ports are answered by the daemon, and their answers wait here until the program
// receives them; a dump of all interfaces is both, the card's first. In the kernel's answers, the XDP programs of
// interfaces that the card takes are replaced by the card's.
//
// A socket with an answer waiting cannot be told so by poll(2): tools of this kind receive right after they have sent.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "preload/ports.hpp"
#include "preload/real.hpp"

namespace xnic::preload {
namespace {

using device::remote::PortRecord;

Real<ssize_t(int, const msghdr*, int)> real_sendmsg("sendmsg");
Real<ssize_t(int, const void*, size_t, int, const sockaddr*, socklen_t)> real_sendto("sendto");
Real<ssize_t(int, const void*, size_t, int)> real_send("send");
Real<ssize_t(int, msghdr*, int)> real_recvmsg("recvmsg");
Real<ssize_t(int, void*, size_t, int, sockaddr*, socklen_t*)> real_recvfrom("recvfrom");
Real<ssize_t(int, void*, size_t, int)> real_recv("recv");

constexpr size_t kMaxRequest = 4096;
constexpr size_t kSockets = 8;

struct Waiting {
  bool used;
  int fd;
  ino_t inode;
  size_t size;
  uint8_t bytes[device::remote::kMaxMessage];
};

pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
Waiting g_waiting[kSockets];
int g_waiting_count;
Ports g_ports;  // as of the last request for interfaces
bool g_has_interfaces;

void lock() { pthread_mutex_lock(&g_lock); }
void unlock() { pthread_mutex_unlock(&g_lock); }
__attribute__((constructor)) void begin() { pthread_atfork(lock, unlock, unlock); }

ino_t inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

bool is_rtnetlink(int fd) {
  int domain = 0, protocol = -1;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_NETLINK) return false;
  size = sizeof protocol;
  return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == NETLINK_ROUTE;
}

bool is_about_links(uint16_t type) {
  return type == RTM_GETLINK || type == RTM_NEWLINK || type == RTM_SETLINK || type == RTM_DELLINK;
}

// The socket's number, by which the program knows its answers; it has one from its first message on.
uint32_t port_of(int fd) {
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 && address.nl_pid == 0) {
    address.nl_family = AF_NETLINK;
    bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    size = sizeof address;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  }
  return address.nl_pid;
}

void keep(void* context, const Answer& answer) {
  auto& waiting = *static_cast<Waiting*>(context);
  waiting.size = answer.size;
  memcpy(waiting.bytes, answer.bytes, answer.size);
}

// A free place, or the one of a socket that is gone. Pre: locked.
Waiting* place() {
  for (Waiting& waiting : g_waiting)
    if (!waiting.used || inode_of(waiting.fd) != waiting.inode) return &waiting;
  return nullptr;
}

void read_ports() {
  g_ports.count = 0;
  g_ports.read();
  g_has_interfaces = false;
  for (size_t i = 0; i < g_ports.count; ++i) g_has_interfaces |= g_ports.records[i].is_interface != 0;
}

// True when the daemon has answered and the kernel is not to be asked; a dump is asked of both.
bool answered(int fd, const iovec* parts, size_t count) {
  uint8_t request[kMaxRequest];
  size_t size = 0;
  for (size_t i = 0; i < count; ++i) {
    if (parts[i].iov_len > sizeof request - size) return false;
    memcpy(request + size, parts[i].iov_base, parts[i].iov_len);
    size += parts[i].iov_len;
  }
  nlmsghdr head;
  if (size < sizeof head) return false;
  memcpy(&head, request, sizeof head);
  if (!is_about_links(head.nlmsg_type) || head.nlmsg_len > size || NLMSG_ALIGN(head.nlmsg_len) < size) return false;
  if (!is_rtnetlink(fd)) return false;
  head.nlmsg_pid = port_of(fd);
  memcpy(request, &head, sizeof head);
  lock();
  if (head.nlmsg_type == RTM_GETLINK) read_ports();
  bool done = false;
  if (Waiting* waiting = place()) {
    waiting->size = 0;
    card_ask(Question::kNetlink, network_namespace(), request, head.nlmsg_len, -1, keep, waiting);
    nlmsghdr first{};
    if (waiting->size >= sizeof first) memcpy(&first, waiting->bytes, sizeof first);
    const bool used = waiting->size > 0 && first.nlmsg_type != NLMSG_NOOP;
    if (used != waiting->used) g_waiting_count += used ? 1 : -1;
    waiting->used = used;
    waiting->fd = fd;
    waiting->inode = inode_of(fd);
    const bool dump = head.nlmsg_type == RTM_GETLINK && (head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    done = waiting->size > 0 && !dump;
  }
  unlock();
  return done;
}

// Gives what waits for this socket. -1: nothing does.
ssize_t give(int fd, msghdr* message, int flags) {
  if (__atomic_load_n(&g_waiting_count, __ATOMIC_ACQUIRE) == 0) return -1;
  lock();
  Waiting* found = nullptr;
  for (Waiting& waiting : g_waiting)
    if (waiting.used && waiting.fd == fd && waiting.inode == inode_of(fd)) found = &waiting;
  ssize_t result = -1;
  if (found != nullptr) {
    size_t at = 0;
    for (size_t i = 0; i < message->msg_iovlen && at < found->size; ++i) {
      size_t bytes = message->msg_iov[i].iov_len;
      if (bytes > found->size - at) bytes = found->size - at;
      memcpy(message->msg_iov[i].iov_base, found->bytes + at, bytes);
      at += bytes;
    }
    message->msg_flags = at < found->size ? MSG_TRUNC : 0;
    message->msg_controllen = 0;
    if (message->msg_name != nullptr) {
      const sockaddr_nl kernel{AF_NETLINK, 0, 0, 0};
      memcpy(message->msg_name, &kernel, message->msg_namelen < sizeof kernel ? message->msg_namelen : sizeof kernel);
      message->msg_namelen = sizeof kernel;
    }
    result = static_cast<ssize_t>((flags & MSG_TRUNC) != 0 ? found->size : at);
    if ((flags & MSG_PEEK) == 0) {
      found->used = false;
      --g_waiting_count;
    }
  }
  unlock();
  return result;
}

template <class Take>
void walk(uint8_t* at, size_t size, Take take) {
  while (size >= sizeof(nlattr)) {
    auto* attribute = reinterpret_cast<nlattr*>(at);
    if (attribute->nla_len < sizeof *attribute || attribute->nla_len > size) return;
    take(attribute, at + sizeof *attribute, attribute->nla_len - sizeof *attribute);
    const size_t step = NLA_ALIGN(attribute->nla_len);
    if (step >= size) return;
    at += step;
    size -= step;
  }
}

// In the kernel's nest, what it says of its own program becomes what the card runs; the size stays.
void rewrite_xdp(uint8_t* nest, size_t size, const PortRecord& port) {
  walk(nest, size, [&](nlattr* attribute, uint8_t* payload, size_t bytes) {
    const int type = attribute->nla_type & NLA_TYPE_MASK;
    if (type == IFLA_XDP_ATTACHED && bytes >= 1) {
      payload[0] = port.program_id != 0 ? XDP_ATTACHED_DRV : XDP_ATTACHED_NONE;
    } else if (bytes == sizeof port.program_id) {
      if (port.program_id == 0) attribute->nla_type = IFLA_XDP_UNSPEC;
      if (port.program_id != 0 && type != IFLA_XDP_PROG_ID) attribute->nla_type = IFLA_XDP_DRV_PROG_ID;
      memcpy(payload, &port.program_id, sizeof port.program_id);
    }
  });
}

void rewrite(int fd, uint8_t* bytes, size_t size) {
  if (!__atomic_load_n(&g_has_interfaces, __ATOMIC_ACQUIRE) || size < NLMSG_LENGTH(sizeof(ifinfomsg))) return;
  if (reinterpret_cast<nlmsghdr*>(bytes)->nlmsg_type != RTM_NEWLINK || !is_rtnetlink(fd)) return;
  lock();
  int left = static_cast<int>(size);
  for (auto* head = reinterpret_cast<nlmsghdr*>(bytes); NLMSG_OK(head, static_cast<unsigned>(left));
       head = NLMSG_NEXT(head, left)) {
    if (head->nlmsg_type != RTM_NEWLINK || head->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) continue;
    const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(head));
    const PortRecord* port = g_ports.by_index(static_cast<uint32_t>(info->ifi_index));
    if (port == nullptr || !port->is_interface) continue;
    auto* attributes = reinterpret_cast<uint8_t*>(head) + NLMSG_SPACE(sizeof *info);
    walk(attributes, head->nlmsg_len - NLMSG_SPACE(sizeof *info), [&](nlattr* attribute, uint8_t* nest, size_t bytes) {
      if ((attribute->nla_type & NLA_TYPE_MASK) == IFLA_XDP) rewrite_xdp(nest, bytes, *port);
    });
  }
  unlock();
}

size_t total(const iovec* parts, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; ++i) size += parts[i].iov_len;
  return size;
}

}  // namespace
}  // namespace xnic::preload

namespace preload = xnic::preload;

XNIC_EXPORT ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  if (!preload::is_connection(fd) && message != nullptr && preload::answered(fd, message->msg_iov, message->msg_iovlen))
    return static_cast<ssize_t>(preload::total(message->msg_iov, message->msg_iovlen));
  return preload::real_sendmsg.get()(fd, message, flags);
}

XNIC_EXPORT ssize_t sendto(int fd, const void* bytes, size_t size, int flags, const sockaddr* to, socklen_t to_size) {
  const iovec part{const_cast<void*>(bytes), size};
  if (preload::answered(fd, &part, 1)) return static_cast<ssize_t>(size);
  return preload::real_sendto.get()(fd, bytes, size, flags, to, to_size);
}

XNIC_EXPORT ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  const iovec part{const_cast<void*>(bytes), size};
  if (preload::answered(fd, &part, 1)) return static_cast<ssize_t>(size);
  return preload::real_send.get()(fd, bytes, size, flags);
}

XNIC_EXPORT ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if (preload::is_connection(fd)) return preload::real_recvmsg.get()(fd, message, flags);
  if (const ssize_t given = preload::give(fd, message, flags); given >= 0) return given;
  const ssize_t got = preload::real_recvmsg.get()(fd, message, flags);
  if (got > 0 && message->msg_iovlen > 0) {
    const size_t first = message->msg_iov[0].iov_len;
    preload::rewrite(fd, static_cast<uint8_t*>(message->msg_iov[0].iov_base),
                     first < static_cast<size_t>(got) ? first : static_cast<size_t>(got));
  }
  return got;
}

XNIC_EXPORT ssize_t recvfrom(int fd, void* bytes, size_t size, int flags, sockaddr* from, socklen_t* from_size) {
  iovec part{bytes, size};
  msghdr message{};
  message.msg_name = from;
  message.msg_namelen = from != nullptr && from_size != nullptr ? *from_size : 0;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (const ssize_t given = preload::give(fd, &message, flags); given >= 0) {
    if (from != nullptr && from_size != nullptr) *from_size = message.msg_namelen;
    return given;
  }
  const ssize_t got = preload::real_recvfrom.get()(fd, bytes, size, flags, from, from_size);
  if (got > 0)
    preload::rewrite(fd, static_cast<uint8_t*>(bytes),
                     static_cast<size_t>(got) < size ? static_cast<size_t>(got) : size);
  return got;
}

XNIC_EXPORT ssize_t recv(int fd, void* bytes, size_t size, int flags) {
  iovec part{bytes, size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (const ssize_t given = preload::give(fd, &message, flags); given >= 0) return given;
  const ssize_t got = preload::real_recv.get()(fd, bytes, size, flags);
  if (got > 0)
    preload::rewrite(fd, static_cast<uint8_t*>(bytes),
                     static_cast<size_t>(got) < size ? static_cast<size_t>(got) : size);
  return got;
}
