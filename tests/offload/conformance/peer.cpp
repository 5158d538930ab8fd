// SPDX-License-Identifier: Apache-2.0
// The peer's orders and their execution. An order is one message of a SOCK_SEQPACKET pair, and so is its answer; the
// peer's own sockets have a receive timeout, so that a case that goes wrong ends with an error and not in silence.
#include "peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace xnic::conformance {

enum class Do : uint8_t {
  kListen,
  kAccept,
  kConnect,
  kSend,
  kSendPattern,
  kUrgent,
  kReceive,
  kDrain,
  kUrgentReceived,
  kShutdown,
  kClose,
  kReset,
  kSetOption,
  kOption,
  kRemotePort,
  kCloseListener,
  kResult,
};

struct Order {
  Do what;
  int32_t slot = -1;
  int32_t a = 0, b = 0, c = 0;
  uint32_t delay_ms = 0;
  uint32_t length = 0;
  char text[512] = {};
};

struct Answer {
  int32_t value = 0;
  int32_t error = 0;
  char text[256] = {};
};

Addresses addresses_of_environment() {
  Addresses found;
  const auto take = [](const char* name, std::string& into) {
    if (const char* value = std::getenv(name)) into = value;
  };
  take("XNIC_CONFORMANCE_HOST4", found.host4);
  take("XNIC_CONFORMANCE_HOST6", found.host6);
  take("XNIC_CONFORMANCE_PEER4", found.peer4);
  take("XNIC_CONFORMANCE_PEER6", found.peer6);
  return found;
}

uint8_t pattern(uint64_t position) { return static_cast<uint8_t>((position * 2654435761u) >> 23); }

std::string describe(const void* bytes, size_t length) {
  const auto* byte = static_cast<const uint8_t*>(bytes);
  std::string text;
  char piece[64];
  if (length <= 48) {
    text = "\"";
    for (size_t i = 0; i < length; ++i) {
      const bool plain = byte[i] >= 32 && byte[i] < 127 && byte[i] != '"' && byte[i] != '\\';
      std::snprintf(piece, sizeof piece, plain ? "%c" : "\\x%02x", byte[i]);
      text += piece;
    }
    return text + "\"";
  }
  uint64_t digest = 14695981039346656037u;  // FNV-1a
  for (size_t i = 0; i < length; ++i) digest = (digest ^ byte[i]) * 1099511628211u;
  std::snprintf(piece, sizeof piece, "%zu bytes, digest %016lx", length, static_cast<unsigned long>(digest));
  return piece;
}

namespace {

constexpr timeval kPatience = {3, 0};  // of the peer, for anything the case should have made happen

class Server {
 public:
  explicit Server(const Addresses& addresses) : addresses_(addresses) {}

  void perform_late(const Order& order) {
    usleep(order.delay_ms * 1000);
    late_ = perform(order);
  }

  Answer perform(const Order& order) {
    switch (order.what) {
      case Do::kListen:
        return listen(order.a, order.b);
      case Do::kAccept:
        return keep(::accept(listener_, nullptr, nullptr));
      case Do::kConnect:
        return connect(order.a, static_cast<uint16_t>(order.b));
      case Do::kSend:
        return sent(::send(fd(order), order.text, order.length, MSG_NOSIGNAL));
      case Do::kSendPattern:
        return send_pattern(fd(order), static_cast<size_t>(order.a), static_cast<size_t>(order.b));
      case Do::kUrgent:
        return sent(::send(fd(order), order.text, 1, MSG_OOB | MSG_NOSIGNAL));
      case Do::kReceive:
        return receive(fd(order), static_cast<size_t>(order.a));
      case Do::kDrain:
        return receive(fd(order), SIZE_MAX);
      case Do::kUrgentReceived:
        return urgent_received(fd(order));
      case Do::kShutdown:
        return sent(::shutdown(fd(order), order.a));
      case Do::kClose:
        return sent(close_slot(order.slot));
      case Do::kReset:
        return reset(order.slot);
      case Do::kSetOption:
        return sent(::setsockopt(fd(order), order.a, order.b, &order.c, sizeof order.c));
      case Do::kOption:
        return option(fd(order), order.a, order.b);
      case Do::kRemotePort:
        return remote_port(fd(order));
      case Do::kCloseListener:
        return sent(::close(listener_));
      case Do::kResult:
        return late_;
    }
    return {-1, EINVAL, {}};
  }

 private:
  static Answer sent(long value) { return {static_cast<int32_t>(value), value < 0 ? errno : 0, {}}; }
  int fd(const Order& order) const {
    return order.slot >= 0 && static_cast<size_t>(order.slot) < slots_.size() ? slots_[order.slot] : -1;
  }
  Answer keep(int connection) {
    if (connection < 0) return sent(connection);
    ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    ::setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    const int on = 1;  // the case, not Nagle's algorithm, decides when bytes leave
    ::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    slots_.push_back(connection);
    return {static_cast<int32_t>(slots_.size() - 1), 0, {}};
  }

  static socklen_t address(int family, const std::string& text4, const std::string& text6, uint16_t port,
                           sockaddr_storage& out) {
    std::memset(&out, 0, sizeof out);
    if (family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(out);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      inet_pton(AF_INET, text4.c_str(), &v4.sin_addr);
      return sizeof v4;
    }
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    inet_pton(AF_INET6, text6.c_str(), &v6.sin6_addr);
    return sizeof v6;
  }

  Answer listen(int family, int backlog) {
    listener_ = ::socket(family, SOCK_STREAM, 0);
    if (listener_ < 0) return sent(listener_);
    ::setsockopt(listener_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    sockaddr_storage where{};
    socklen_t length = address(family, addresses_.peer4, addresses_.peer6, 0, where);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&where), length) < 0) return sent(-1);
    if (::listen(listener_, backlog) < 0) return sent(-1);
    if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&where), &length) < 0) return sent(-1);
    return {ntohs(reinterpret_cast<sockaddr_in&>(where).sin_port), 0, {}};
  }

  Answer connect(int family, uint16_t port) {
    sockaddr_storage where{};
    const socklen_t length = address(family, addresses_.host4, addresses_.host6, port, where);
    const int connection = ::socket(family, SOCK_STREAM, 0);
    ::setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);  // bounds connect() too
    if (::connect(connection, reinterpret_cast<sockaddr*>(&where), length) < 0) {
      const Answer answer = sent(-1);
      ::close(connection);
      return answer;
    }
    return keep(connection);
  }

  static Answer send_pattern(int connection, size_t count, size_t from) {
    std::vector<char> bytes(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(pattern(from + i));
    size_t done = 0;
    while (done < count) {
      const ssize_t n = ::send(connection, bytes.data() + done, count - done, MSG_NOSIGNAL);
      if (n < 0) return sent(-1);
      done += static_cast<size_t>(n);
    }
    return {static_cast<int32_t>(done), 0, {}};
  }

  static Answer receive(int connection, size_t count) {
    std::vector<char> bytes;
    char piece[65536];
    const char* end = "";
    while (bytes.size() < count) {
      const size_t room = count - bytes.size() < sizeof piece ? count - bytes.size() : sizeof piece;
      const ssize_t n = ::recv(connection, piece, room, 0);
      if (n <= 0) {
        end = n == 0 ? "end" : strerrorname_np(errno);
        break;
      }
      bytes.insert(bytes.end(), piece, piece + n);
    }
    bool as_pattern = bytes.size() > 48;
    for (size_t i = 0; i < bytes.size() && as_pattern; ++i) as_pattern = static_cast<uint8_t>(bytes[i]) == pattern(i);
    Answer answer{static_cast<int32_t>(bytes.size()), 0, {}};
    std::snprintf(answer.text, sizeof answer.text, "%s%s %s", describe(bytes.data(), bytes.size()).c_str(),
                  as_pattern ? ", the pattern" : "", end);
    return answer;
  }

  static Answer urgent_received(int connection) {
    char byte = 0;
    const ssize_t n = ::recv(connection, &byte, 1, MSG_OOB);
    Answer answer = sent(n);
    if (n < 0)
      std::snprintf(answer.text, sizeof answer.text, "%s", strerrorname_np(answer.error));
    else
      std::snprintf(answer.text, sizeof answer.text, "%zd %s", n, describe(&byte, 1).c_str());
    return answer;
  }

  int close_slot(int slot) {
    const int result = ::close(slots_[slot]);
    slots_[slot] = -1;
    return result;
  }
  Answer reset(int slot) {
    const linger abort{1, 0};
    ::setsockopt(slots_[slot], SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    return sent(close_slot(slot));
  }
  static Answer option(int connection, int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    return ::getsockopt(connection, level, name, &value, &length) < 0 ? sent(-1) : Answer{value, 0, {}};
  }
  static Answer remote_port(int connection) {
    sockaddr_storage where{};
    socklen_t length = sizeof where;
    if (::getpeername(connection, reinterpret_cast<sockaddr*>(&where), &length) < 0) return sent(-1);
    return {ntohs(reinterpret_cast<sockaddr_in&>(where).sin_port), 0, {}};
  }

  Addresses addresses_;
  int listener_ = -1;
  std::vector<int> slots_;
  Answer late_;
};

}  // namespace

void serve_peer(int control, const Addresses& addresses) {
  std::signal(SIGPIPE, SIG_IGN);
  alarm(60);  // a peer that everybody has forgotten ends by itself
  Server server(addresses);
  Order order;
  while (::recv(control, &order, sizeof order, 0) == static_cast<ssize_t>(sizeof order)) {
    if (order.delay_ms != 0) {
      server.perform_late(order);
      continue;
    }
    const Answer answer = server.perform(order);
    if (::send(control, &answer, sizeof answer, MSG_NOSIGNAL) < 0) break;
  }
  _exit(0);
}

Answer Peer::ask(Order order, std::string_view text) {
  order.delay_ms = std::exchange(delay_ms_, 0);
  order.length = static_cast<uint32_t>(text.size());
  std::memcpy(order.text, text.data(), text.size() < sizeof order.text ? text.size() : sizeof order.text);
  Answer answer;
  if (::send(control_, &order, sizeof order, MSG_NOSIGNAL) < 0) return {-1, errno, {}};
  if (order.delay_ms != 0) return answer;
  ssize_t n;
  do n = ::recv(control_, &answer, sizeof answer, 0);
  while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof answer) ? answer : Answer{-1, EPIPE, {}};
}

uint16_t Peer::listen(int family, int backlog) {
  return static_cast<uint16_t>(ask({.what = Do::kListen, .a = family, .b = backlog}).value);
}
int Peer::accept() { return ask({.what = Do::kAccept}).value; }
int Peer::connect(int family, uint16_t port) { return ask({.what = Do::kConnect, .a = family, .b = port}).value; }
std::string Peer::try_connect(int family, uint16_t port) {
  const Answer answer = ask({.what = Do::kConnect, .a = family, .b = port});
  return answer.value >= 0 ? "ok" : strerrorname_np(answer.error);
}
void Peer::send(int slot, std::string_view text) { ask({.what = Do::kSend, .slot = slot}, text); }
void Peer::send_pattern(int slot, size_t count, size_t from) {
  ask({.what = Do::kSendPattern, .slot = slot, .a = static_cast<int32_t>(count), .b = static_cast<int32_t>(from)});
}
void Peer::urgent(int slot, char byte) { ask({.what = Do::kUrgent, .slot = slot}, std::string_view(&byte, 1)); }
std::string Peer::receive(int slot, size_t count) {
  return ask({.what = Do::kReceive, .slot = slot, .a = static_cast<int32_t>(count)}).text;
}
std::string Peer::drain(int slot) { return ask({.what = Do::kDrain, .slot = slot}).text; }
std::string Peer::urgent_received(int slot) { return ask({.what = Do::kUrgentReceived, .slot = slot}).text; }
std::string Peer::result() { return ask({.what = Do::kResult}).text; }
void Peer::shutdown(int slot, int how) { ask({.what = Do::kShutdown, .slot = slot, .a = how}); }
void Peer::close(int slot) { ask({.what = Do::kClose, .slot = slot}); }
void Peer::reset(int slot) { ask({.what = Do::kReset, .slot = slot}); }
void Peer::set_option(int slot, int level, int name, int value) {
  ask({.what = Do::kSetOption, .slot = slot, .a = level, .b = name, .c = value});
}
int Peer::option(int slot, int level, int name) {
  return ask({.what = Do::kOption, .slot = slot, .a = level, .b = name}).value;
}
uint16_t Peer::remote_port(int slot) {
  return static_cast<uint16_t>(ask({.what = Do::kRemotePort, .slot = slot}).value);
}
void Peer::close_listener() { ask({.what = Do::kCloseListener}); }

}  // namespace xnic::conformance
