// SPDX-License-Identifier: Apache-2.0
// Options that are about waiting and about this side's buffer are kept here; all others are the agent's socket's.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "transport/host/stack_impl.hpp"

namespace xnic::transport::host {

using message::Type;

namespace {

constexpr socklen_t kMostOptionBytes = 4096;
// On 64-bit machines both forms of the time-outs are one struct timeval.
constexpr int kReceiveTimeoutNew = 66, kSendTimeoutNew = 67;

// As the kernel gives an int: cut to *size.
int give_int(int number, void* value, socklen_t* size) {
  if (static_cast<int>(*size) < 0) return -EINVAL;
  *size = std::min<socklen_t>(*size, sizeof number);
  std::memcpy(value, &number, *size);
  return 0;
}

int give_time(const timeval& time, void* value, socklen_t* size) {
  if (static_cast<int>(*size) < 0) return -EINVAL;
  *size = std::min<socklen_t>(*size, sizeof time);
  std::memcpy(value, &time, *size);
  return 0;
}

int take_time(const void* value, socklen_t size, timeval& time) {
  if (size < sizeof time) return -EINVAL;
  timeval given;
  std::memcpy(&given, value, sizeof given);
  if (given.tv_usec < 0 || given.tv_usec >= 1'000'000) return -EDOM;
  if (given.tv_sec < 0) given = {0, 1};  // over at once
  time = given;
  return 0;
}

bool is_receive_timeout(int name) { return name == SO_RCVTIMEO || name == kReceiveTimeoutNew; }
bool is_send_timeout(int name) { return name == SO_SNDTIMEO || name == kSendTimeoutNew; }

}  // namespace

int StackImpl::getsockopt(SocketId id, int level, int name, void* value, socklen_t* size) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (level == SOL_SOCKET) {
    if (name == SO_ERROR) {
      pump_locked();
      return give_int(std::exchange(socket->error, 0), value, size);
    }
    if (name == SO_TYPE) return give_int(SOCK_STREAM, value, size);
    if (name == SO_DOMAIN) return give_int(socket->domain, value, size);
    if (name == SO_PROTOCOL) return give_int(IPPROTO_TCP, value, size);
    if (name == SO_ACCEPTCONN) return give_int(socket->state == State::kListening ? 1 : 0, value, size);
    if (name == SO_RCVLOWAT) return give_int(static_cast<int>(socket->low_water), value, size);
    if (is_receive_timeout(name))
      return give_time(socket->extra ? socket->extra->receive_timeout : timeval{}, value, size);
    if (is_send_timeout(name)) return give_time(socket->extra ? socket->extra->send_timeout : timeval{}, value, size);
  }
  if (static_cast<int>(*size) < 0) return -EINVAL;
  const message::OptionBody body{0, level, name, std::min(*size, kMostOptionBytes)};
  std::vector<uint8_t> answer;
  if (const int error = ask(lock, Type::kGetOption, id, request_body(body), &answer)) return error;
  *size = static_cast<socklen_t>(std::min<size_t>(*size, answer.size()));
  std::memcpy(value, answer.data(), *size);
  return 0;
}

int StackImpl::setsockopt(SocketId id, int level, int name, const void* value, socklen_t size) {
  if (static_cast<int>(size) < 0) return -EINVAL;
  if (size > kMostOptionBytes) return -EINVAL;
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (level == SOL_SOCKET) {
    if (is_receive_timeout(name)) return take_time(value, size, socket->more().receive_timeout);
    if (is_send_timeout(name)) return take_time(value, size, socket->more().send_timeout);
    if (name == SO_RCVLOWAT) {
      if (size < sizeof(int)) return -EINVAL;
      const int bytes = base::load<int>(value);
      socket->low_water = bytes < 0 ? INT_MAX : bytes == 0 ? 1u : static_cast<uint32_t>(bytes);
      // More than the window never comes at once.
      socket->low_water = std::min(socket->low_water, std::max(window_ / 2, 1u));
      return 0;
    }
  }
  const message::OptionBody head{0, level, name, 0};
  const auto body = request_body(head, value, size);
  if (const int error = ask(lock, Type::kSetOption, id, body)) return error;
  socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (level == SOL_SOCKET && name == SO_LINGER && size >= sizeof(linger)) {
    linger given;
    std::memcpy(&given, value, sizeof given);
    socket->linger_s = given.l_onoff != 0 ? std::max(given.l_linger, 0) : -1;
  }
  if (level == SOL_SOCKET && name == SO_OOBINLINE && size >= sizeof(int))
    socket->inline_urgent = base::load<int>(value) != 0;
  if (socket->state == State::kFresh || socket->state == State::kListening) remember(*socket, Type::kSetOption, body);
  return 0;
}

int StackImpl::name_of(Lock& lock, SocketId id, bool peer, sockaddr* address, socklen_t* size) {
  if (static_cast<int>(*size) < 0) return -EINVAL;
  std::vector<uint8_t> answer;
  if (const int error = ask(lock, Type::kName, id, request_body(message::NameBody{0, peer ? 1u : 0u}), &answer))
    return error;
  copy_address(address_from(answer), address, size);
  return 0;
}

int StackImpl::getsockname(SocketId id, sockaddr* address, socklen_t* size) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->state != State::kConnected || socket->local.size == 0) return name_of(lock, id, false, address, size);
  if (static_cast<int>(*size) < 0) return -EINVAL;
  copy_address(socket->local, address, size);
  return 0;
}

int StackImpl::getpeername(SocketId id, sockaddr* address, socklen_t* size) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->state != State::kConnected) return -ENOTCONN;
  // A connection that both sides have ended may be gone; only the agent knows.
  if ((socket->end && socket->send_shut) || socket->peer.size == 0) return name_of(lock, id, true, address, size);
  if (static_cast<int>(*size) < 0) return -EINVAL;
  copy_address(socket->peer, address, size);
  return 0;
}

int64_t StackImpl::unsent_bytes(SocketId id) {
  Lock lock(mutex_);
  Socket* socket = sockets_.find(id);
  if (socket == nullptr) return -EBADF;
  if (socket->state == State::kListening) return -EINVAL;
  if (socket->state != State::kConnected) return 0;
  std::vector<uint8_t> answer;
  if (const int error = ask(lock, Type::kUnsent, id, request_body(uint32_t{0}), &answer)) return error;
  const auto bytes = message::decode<uint32_t>(answer);
  return bytes ? *bytes : 0;
}

}  // namespace xnic::transport::host
