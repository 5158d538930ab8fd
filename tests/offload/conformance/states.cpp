// SPDX-License-Identifier: Apache-2.0
// States of a socket × operations on it: every pair is a case. The state is made, the operation is performed on the
// non-blocking socket, and what follows from it is written down: events, the error that is left, what the peer sees.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "case.hpp"

namespace xnic::conformance {
namespace {

// --- states; each gives the socket, and the peer's slot (-1: no connection) ---

Connection fresh(Case&) { return {::socket(AF_INET, SOCK_STREAM, 0), -1}; }

Connection bound(Case& c) {
  Connection made = fresh(c);
  Address where = c.host(Family::kV4, 0);
  ::bind(made.fd, where.get(), where.length);
  return made;
}

Connection listening(Case& c) {
  uint16_t port = 0;
  return {c.listener(Family::kV4, 4, port), -1};
}

Connection listening_pending(Case& c) {
  uint16_t port = 0;
  const int fd = c.listener(Family::kV4, 4, port);
  const int slot = c.peer.connect(AF_INET, port);
  c.await(fd, POLLIN);
  return {fd, slot};
}

// The peer's queue of one is full, so the connection request stays unanswered.
Connection connecting(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET, 0));
  const int filler = ::socket(AF_INET, SOCK_STREAM, 0);
  ::connect(filler, where.get(), where.length);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.settle();
  return {fd, -1};
}

int refused_socket(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  c.peer.close_listener();
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.await(fd, POLLOUT);
  return fd;
}
Connection refused(Case& c) { return {refused_socket(c), -1}; }
Connection refused_read(Case& c) {
  const int fd = refused_socket(c);
  c.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
  return {fd, -1};
}

Connection connected(Case& c) { return c.active(); }
Connection accepted(Case& c) { return c.passive(); }

Connection with_data(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "hello");
  c.await_bytes(made.fd, 5);
  return made;
}

Connection peer_shut(Case& c) {
  const Connection made = c.active();
  c.peer.shutdown(made.slot, SHUT_WR);
  c.await(made.fd, POLLRDHUP);
  return made;
}

Connection peer_shut_data(Case& c) {
  const Connection made = with_data(c);
  c.peer.shutdown(made.slot, SHUT_WR);
  c.await(made.fd, POLLRDHUP);
  return made;
}

Connection shut_write(Case& c) {
  const Connection made = c.active();
  ::shutdown(made.fd, SHUT_WR);
  c.peer.drain(made.slot);
  c.settle();
  return made;
}

Connection shut_write_data(Case& c) {
  const Connection made = shut_write(c);
  c.peer.send(made.slot, "later");
  c.await_bytes(made.fd, 5);
  return made;
}

Connection shut_read(Case& c) {
  const Connection made = c.active();
  ::shutdown(made.fd, SHUT_RD);
  return made;
}

Connection shut_read_data(Case& c) {
  const Connection made = shut_read(c);
  c.peer.send(made.slot, "unwanted");
  c.settle();
  return made;
}

Connection shut_both(Case& c) {
  const Connection made = c.active();
  ::shutdown(made.fd, SHUT_RDWR);
  c.peer.drain(made.slot);
  return made;
}

Connection both_ended(Case& c) {
  const Connection made = shut_write(c);
  c.peer.shutdown(made.slot, SHUT_WR);
  c.await(made.fd, POLLRDHUP);
  c.settle();
  return made;
}

Connection peer_closed(Case& c) {
  const Connection made = c.active();
  c.peer.close(made.slot);
  c.await(made.fd, POLLRDHUP);
  return {made.fd, -1};
}

Connection reset(Case& c) {
  const Connection made = c.active();
  c.peer.reset(made.slot);
  c.await(made.fd, POLLERR);
  return {made.fd, -1};
}

Connection reset_data(Case& c) {
  const Connection made = with_data(c);
  c.peer.reset(made.slot);
  c.await(made.fd, POLLERR);
  return {made.fd, -1};
}

Connection reset_read(Case& c) {
  const Connection made = reset(c);
  c.option("SO_ERROR", made.fd, SOL_SOCKET, SO_ERROR);
  return made;
}

struct State {
  const char* name;
  Connection (*make)(Case&);
};
constexpr State kStates[] = {
    {"fresh", fresh},
    {"bound", bound},
    {"listening", listening},
    {"listening_pending", listening_pending},
    {"connecting", connecting},
    {"refused", refused},
    {"refused_read", refused_read},
    {"connected", connected},
    {"accepted", accepted},
    {"data", with_data},
    {"peer_shut", peer_shut},
    {"peer_shut_data", peer_shut_data},
    {"shut_write", shut_write},
    {"shut_write_data", shut_write_data},
    {"shut_read", shut_read},
    {"shut_read_data", shut_read_data},
    {"shut_both", shut_both},
    {"both_ended", both_ended},
    {"peer_closed", peer_closed},
    {"reset", reset},
    {"reset_data", reset_data},
    {"reset_read", reset_read},
};

// --- operations ---

void op_recv(Case& c, int fd) {
  char bytes[64];
  c.data("recv", ::recv(fd, bytes, sizeof bytes, 0), bytes);
}
void op_peek(Case& c, int fd) {
  char bytes[64];
  c.data("recv(PEEK)", ::recv(fd, bytes, sizeof bytes, MSG_PEEK), bytes);
}
void op_recv_nothing(Case& c, int fd) {
  char byte;
  c.ret("recv(0 bytes)", ::recv(fd, &byte, 0, 0));
}
void op_recv_urgent(Case& c, int fd) {
  char byte;
  c.data("recv(OOB)", ::recv(fd, &byte, 1, MSG_OOB), &byte);
}
void op_readv(Case& c, int fd) {
  char bytes[8];
  const iovec parts[] = {{bytes, 2}, {bytes + 2, 6}};
  c.data("readv", ::readv(fd, parts, 2), bytes);
}
void op_recvmsg(Case& c, int fd) {
  char bytes[64];
  iovec part{bytes, sizeof bytes};
  Address from;
  msghdr message{};
  message.msg_name = from.get();
  message.msg_namelen = from.length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const long n = c.data("recvmsg", ::recvmsg(fd, &message, 0), bytes);
  if (n >= 0) c.note("name length %u flags %d", message.msg_namelen, message.msg_flags);
}
void op_send(Case& c, int fd) { c.ret("send", ::send(fd, "abc", 3, MSG_NOSIGNAL)); }
void op_send_nothing(Case& c, int fd) { c.ret("send(0 bytes)", ::send(fd, "", 0, MSG_NOSIGNAL)); }

volatile sig_atomic_t broken_pipes = 0;
void op_write(Case& c, int fd) {
  std::signal(SIGPIPE, [](int) { broken_pipes = broken_pipes + 1; });
  c.ret("write", ::write(fd, "abc", 3));
  c.note("SIGPIPE %d", static_cast<int>(broken_pipes));
}
void op_sendto(Case& c, int fd) {
  Address where = c.there(Family::kV4, 9);
  c.ret("sendto", ::sendto(fd, "abc", 3, MSG_NOSIGNAL, where.get(), where.length));
}
void op_sendmsg(Case& c, int fd) {
  char bytes[] = "abcdef";
  iovec parts[] = {{bytes, 3}, {bytes + 3, 3}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  c.ret("sendmsg", ::sendmsg(fd, &message, MSG_NOSIGNAL));
}
void op_shutdown_read(Case& c, int fd) { c.ret("shutdown(RD)", ::shutdown(fd, SHUT_RD)); }
void op_shutdown_write(Case& c, int fd) { c.ret("shutdown(WR)", ::shutdown(fd, SHUT_WR)); }
void op_shutdown_both(Case& c, int fd) { c.ret("shutdown(RDWR)", ::shutdown(fd, SHUT_RDWR)); }
void op_shutdown_wrong(Case& c, int fd) { c.ret("shutdown(7)", ::shutdown(fd, 7)); }
void op_connect(Case& c, int fd) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  c.nonblocking(fd);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.settle();
  c.ret("connect again", ::connect(fd, where.get(), where.length));
}
void op_disconnect(Case& c, int fd) {
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  c.ret("connect(AF_UNSPEC)", ::connect(fd, &nowhere, sizeof nowhere));
}
void op_bind(Case& c, int fd) {
  Address where = c.host(Family::kV4, 0);
  c.ret("bind", ::bind(fd, where.get(), where.length));
}
void op_listen(Case& c, int fd) { c.ret("listen", ::listen(fd, 3)); }
void op_accept(Case& c, int fd) { c.fd("accept", ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK)); }
void op_getsockname(Case& c, int fd) {
  Address where;
  const int done = ::getsockname(fd, where.get(), &where.length);
  c.address("getsockname", done, where);
}
void op_getpeername(Case& c, int fd) {
  Address where;
  const int done = ::getpeername(fd, where.get(), &where.length);
  c.address("getpeername", done, where);
}
void op_error(Case& c, int fd) {
  c.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
  c.option("SO_ERROR again", fd, SOL_SOCKET, SO_ERROR);
}
void op_kind(Case& c, int fd) {
  c.option("SO_ACCEPTCONN", fd, SOL_SOCKET, SO_ACCEPTCONN);
  c.option("SO_TYPE", fd, SOL_SOCKET, SO_TYPE);
  c.option("SO_DOMAIN", fd, SOL_SOCKET, SO_DOMAIN);
  c.option("SO_PROTOCOL", fd, SOL_SOCKET, SO_PROTOCOL);
}
void op_fionread(Case& c, int fd) {
  int value = -7;
  c.ret("FIONREAD", ::ioctl(fd, FIONREAD, &value));
  c.note("value %d", value);
}
void op_outq(Case& c, int fd) {
  int value = -7;
  c.ret("SIOCOUTQ", ::ioctl(fd, SIOCOUTQ, &value));
  c.note("value %d", value);
}
void op_mark(Case& c, int fd) {
  int value = -7;
  c.ret("SIOCATMARK", ::ioctl(fd, SIOCATMARK, &value));
  c.note("value %d", value);
}
void op_select(Case& c, int fd) {
  fd_set in, out, except;
  for (fd_set* set : {&in, &out, &except}) {
    FD_ZERO(set);
    FD_SET(fd, set);
  }
  timeval now{0, 0};
  c.ret("select", ::select(fd + 1, &in, &out, &except, &now));
  c.note("in %d out %d except %d", FD_ISSET(fd, &in) != 0, FD_ISSET(fd, &out) != 0, FD_ISSET(fd, &except) != 0);
}
void op_epoll(Case& c, int fd) {
  const int set = ::epoll_create1(0);
  epoll_event event{EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP, {}};
  event.data.u32 = 77;
  c.ret("epoll_ctl", ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
  epoll_event found[2] = {};
  if (c.ret("epoll_wait", ::epoll_wait(set, found, 2, 0)) == 1)
    c.note("data %u %s", found[0].data.u32, epoll_names(found[0].events).c_str());
}
void op_tcp_state(Case& c, int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  c.ret("TCP_INFO", ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
  c.note("state %d", info.tcpi_state);
}
void op_nodelay(Case& c, int fd) {
  const int on = 1;
  c.ret("TCP_NODELAY", ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  c.option("TCP_NODELAY", fd, IPPROTO_TCP, TCP_NODELAY);
}
void op_keepalive(Case& c, int fd) {
  const int on = 1;
  c.ret("SO_KEEPALIVE", ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
  c.option("SO_KEEPALIVE", fd, SOL_SOCKET, SO_KEEPALIVE);
}
void op_flags(Case& c, int fd) {
  c.note("F_GETFL access %d", ::fcntl(fd, F_GETFL) & O_ACCMODE);
  struct stat about{};
  c.ret("fstat", ::fstat(fd, &about));
  c.note("socket %d", S_ISSOCK(about.st_mode));
  c.ret("lseek", ::lseek(fd, 0, SEEK_SET));
  c.ret("isatty", ::isatty(fd));
  c.note("%s", strerrorname_np(errno));
}
void op_dup(Case& c, int fd) {
  const int copy = c.fd("dup", ::dup(fd));
  c.poll("poll of the copy", copy);
  c.ret("close of the copy", ::close(copy));
}

struct Operation {
  const char* name;
  void (*perform)(Case&, int fd);
};
constexpr Operation kOperations[] = {
    {"recv", op_recv},
    {"peek", op_peek},
    {"recv_nothing", op_recv_nothing},
    {"recv_urgent", op_recv_urgent},
    {"readv", op_readv},
    {"recvmsg", op_recvmsg},
    {"send", op_send},
    {"send_nothing", op_send_nothing},
    {"write", op_write},
    {"sendto", op_sendto},
    {"sendmsg", op_sendmsg},
    {"shutdown_read", op_shutdown_read},
    {"shutdown_write", op_shutdown_write},
    {"shutdown_both", op_shutdown_both},
    {"shutdown_wrong", op_shutdown_wrong},
    {"connect", op_connect},
    {"disconnect", op_disconnect},
    {"bind", op_bind},
    {"listen", op_listen},
    {"accept", op_accept},
    {"getsockname", op_getsockname},
    {"getpeername", op_getpeername},
    {"error", op_error},
    {"kind", op_kind},
    {"fionread", op_fionread},
    {"outq", op_outq},
    {"mark", op_mark},
    {"select", op_select},
    {"epoll", op_epoll},
    {"tcp_state", op_tcp_state},
    {"nodelay", op_nodelay},
    {"keepalive", op_keepalive},
    {"flags", op_flags},
    {"dup", op_dup},
};

void run(Case& c, const State& state, const Operation& operation) {
  const Connection made = state.make(c);
  c.nonblocking(made.fd);
  c.poll("before", made.fd);
  operation.perform(c, made.fd);
  c.settle();
  c.poll("after", made.fd);
  char bytes[64];
  c.data("then recv", ::recv(made.fd, bytes, sizeof bytes, 0), bytes);
  c.ret("close", ::close(made.fd));
  if (made.slot >= 0) c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

}  // namespace

void add_states(Suite& suite) {
  for (const State& state : kStates) {
    for (const Operation& operation : kOperations) {
      suite.add(std::string("state.") + state.name + "." + operation.name,
                [&state, &operation](Case& c) { run(c, state, operation); });
    }
  }
}

}  // namespace xnic::conformance
