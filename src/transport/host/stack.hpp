// SPDX-License-Identifier: Apache-2.0
// The host's side of the TCP offload: a process's sockets, whose TCP lives in the agent.
//
// A Stack is one attachment to an agent. Its sockets are numbers; what each operation means and which errno it gives is
// what Linux's TCP does (tcp(7), ip(7), and where those are silent net/ipv4/tcp.c), with one difference: no operation
// on data ever waits. Waiting, SIGPIPE, file descriptors and epoll belong to whoever builds on this: the C API and the
// preload library.
//
// How an operation reaches the agent:
//   - bind, listen, connect, options and addresses are asked of the agent's real socket; the call returns with its
//   answer
//     (a spinning agent: microseconds). When the agent is gone, or dies meanwhile, they fail with ENETDOWN.
//   - send copies into the link at once (data of several sockets share frames); recv copies from what has come.
//   - close, shutdown and credits are messages without an answer.
// Nothing comes in by itself: pump() takes what the agent has sent. Every call that returns an events mask or data
// pumps when it would otherwise find nothing, so a polling program needs no other call.
//
// Threads: every function may be called from any thread; a mutex inside orders them. Observer::on_events is called with
// that mutex held and must not call the Stack, except for ready_locked().
//
// When the agent dies: connections and connecting sockets get ECONNRESET (POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP);
// pump() looks for a new agent every 50 ms, and sockets that have no connection, listeners too, are made there anew
// with their options, address and backlog. Connections that the agent had accepted and the program not are lost.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"

namespace xnic::transport::host {

// A socket of this Stack. Numbers are reused late: a stale one is EBADF, not another socket.
using SocketId = uint32_t;
inline constexpr SocketId kNoSocket = 0xffffffff;

// Passes a socket to another process of the same agent: whoever knows it may import the socket once.
using Token = std::array<uint8_t, 16>;

class Observer {
 public:
  virtual ~Observer() = default;
  // `events` (poll(2) bits) have come about on `socket` now. An edge: POLLIN for each arrival of data or of a
  // connection, also when there was some; POLLOUT when a full socket has room again or a connect ended. That a socket
  // is (still) ready is what ready_locked() says.
  virtual void on_events(SocketId socket, void* cookie, uint32_t events) = 0;
};

struct Options {
  std::string path;       // the agent's Unix socket
  uint32_t spin_us = 50;  // calls that wait for the agent spin this long before they sleep
  // Not empty: the link is XDP sockets on this interface, whose other end is the agent's (link/xdp.hpp), instead of
  // shared memory. Needs the rights to open them; children of fork() then have no sockets.
  std::string interface{};
  bool defer_sends = false;  // true: small sends are held back until flush(), pump() or a full frame
};

struct Counters {
  uint64_t frames_sent = 0, frames_received = 0;      // of the link
  uint64_t messages_sent = 0, messages_received = 0;  // in them
  uint64_t bytes_sent = 0, bytes_received = 0;        // of the connections' data
  uint64_t doorbells = 0;                             // system calls to wake the agent
  uint64_t reattached = 0;                            // agents after the first
};

class Stack {
 public:
  // Attaches to the agent. `observer` may be null; not owned. Errors: kIo (no agent there), kLimit (it refused),
  // kBadInput (something else serves the path).
  static base::Result<std::unique_ptr<Stack>> attach(const Options& options, Observer* observer = nullptr);
  virtual ~Stack() = default;

  // ---- sockets. All return a negative errno for a failure.

  // AF_INET or AF_INET6, SOCK_STREAM (flags in `type` are ignored), protocol 0 or IPPROTO_TCP. Others are for the
  // kernel: EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT. Returns the SocketId.
  virtual int64_t socket(int domain, int type, int protocol) = 0;
  // `cookie` comes back with each event of the socket; null until set. Sockets that were accepted have none.
  virtual void set_cookie(SocketId socket, void* cookie) = 0;
  virtual int bind(SocketId socket, const sockaddr* address, socklen_t size) = 0;
  virtual int listen(SocketId socket, int backlog) = 0;
  // The SocketId of the next connection, or EAGAIN. What has come for it before is no event any more: look at ready().
  // `address` and `size` as accept(2): may be null, may be too short.
  virtual int64_t accept(SocketId socket, sockaddr* address, socklen_t* size) = 0;
  // EINPROGRESS, then POLLOUT and SO_ERROR tell; as connect(2) of a non-blocking socket, EALREADY and EISCONN included.
  virtual int connect(SocketId socket, const sockaddr* address, socklen_t size) = 0;
  virtual int shutdown(SocketId socket, int how) = 0;
  // Drops this process's reference; the last one ends the connection: in order, or by a reset when received data was
  // not read or SO_LINGER is 0 seconds. A positive SO_LINGER waits, as the kernel does, until the peer has all or time
  // is up.
  virtual int close(SocketId socket) = 0;

  // ---- data

  // Returns the bytes taken, 1 at least, or EAGAIN. flags: MSG_OOB (the last byte is urgent), MSG_MORE, MSG_DONTWAIT,
  // MSG_NOSIGNAL, MSG_EOR, MSG_CONFIRM, MSG_DONTROUTE; others EOPNOTSUPP. EPIPE: raising SIGPIPE is the caller's.
  virtual ssize_t send(SocketId socket, const iovec* parts, int count, int flags) = 0;
  // Returns the bytes given, 0 at the end of the stream, or EAGAIN. flags: MSG_PEEK, MSG_OOB, MSG_TRUNC (discards),
  // MSG_DONTWAIT, MSG_WAITALL (gives what there is; waiting for the rest is the caller's), MSG_CMSG_CLOEXEC;
  // MSG_ERRQUEUE is always EAGAIN; others EOPNOTSUPP.
  virtual ssize_t recv(SocketId socket, const iovec* parts, int count, int flags) = 0;

  // ---- options and addresses. The value lengths are getsockopt(2)'s and setsockopt(2)'s.

  // Answered here: SO_ERROR, SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, and SO_RCVTIMEO / SO_SNDTIMEO, which are
  // kept for the caller to wait by. All others are asked of the agent's socket; its errno comes back.
  virtual int getsockopt(SocketId socket, int level, int name, void* value, socklen_t* size) = 0;
  virtual int setsockopt(SocketId socket, int level, int name, const void* value, socklen_t size) = 0;
  virtual int getsockname(SocketId socket, sockaddr* address, socklen_t* size) = 0;
  virtual int getpeername(SocketId socket, sockaddr* address, socklen_t* size) = 0;
  virtual int64_t readable_bytes(SocketId socket) = 0;  // FIONREAD; of a listener EINVAL
  virtual int64_t unsent_bytes(
      SocketId socket) = 0;                  // SIOCOUTQ: not yet acknowledged by the peer, bytes under way included
  virtual int at_mark(SocketId socket) = 0;  // SIOCATMARK: 1 or 0

  // ---- readiness

  // The poll(2) bits of the socket as tcp_poll() gives them: POLLIN|POLLRDNORM, POLLOUT|POLLWRNORM, POLLPRI, POLLRDHUP,
  // POLLHUP, POLLERR. Of a stale id: POLLNVAL.
  virtual uint32_t ready(SocketId socket) = 0;
  virtual uint32_t ready_locked(SocketId socket) = 0;  // for Observer::on_events only
  // Takes what the agent has sent (on_events is called for it) and hands over what was deferred. True: something came.
  virtual bool pump() = 0;
  virtual void flush() = 0;

  // ---- sleeping
  //   if (stack.prepare_sleep()) { poll(wait_fd(), ..., at most sleep_limit_ms()); stack.woken(); }
  // No wake-up is lost: what comes after prepare_sleep() makes wait_fd() readable. Several threads may sleep at once;
  // whoever wakes first pumps, and on_events has to wake the others whose sockets it names.

  // Readable (POLLIN) when there is something to pump. The same number for the life of the process.
  virtual int wait_fd() const = 0;
  // False: do not sleep, pump.
  virtual bool prepare_sleep() = 0;
  virtual void woken() = 0;
  // Milliseconds after which pump() has work by the clock; -1: none.
  virtual int sleep_limit_ms() = 0;
  // Sleeps and pumps until one of `events`, or POLLERR, POLLHUP or POLLNVAL, is there; returns ready(), or 0 after
  // `timeout_ms` (-1: never), or EINTR negated. For programs with nothing else to wait for.
  virtual int64_t wait(SocketId socket, uint32_t events, int timeout_ms) = 0;

  // ---- processes
  // A connection is read by one process at a time. The parent keeps what it has; a child that uses a shared socket gets
  // it from the parent, unread data included, with its first recv, send or ready (which say EAGAIN, or 0, until it
  // came). Every process has to close its own references; a process that ends has closed them.

  // For pthread_atfork: prepare makes an attachment for the child. Errors: the child then has no sockets (all EBADF).
  virtual base::Result<void> before_fork() = 0;
  virtual void after_fork_in_parent() = 0;
  virtual void after_fork_in_child() = 0;
  // A further reference, held by the agent until it is imported (or this process ends). A negative errno, or 0.
  virtual int export_socket(SocketId socket, Token& token) = 0;
  // The SocketId of what was exported; ENOENT when there is no such.
  virtual int64_t import_socket(const Token& token) = 0;

  // False while no agent is there.
  virtual bool attached() = 0;
  virtual Counters counters() = 0;
};

}  // namespace xnic::transport::host
