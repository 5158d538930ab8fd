// SPDX-License-Identifier: Apache-2.0
// Blocking: a request, its reply, then messages while there are any.
#include "nic/control/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using exec::kernel::Fd;
using nlohmann::ordered_json;

namespace {

base::Unexpected no_daemon(const std::string& path, int error) {
  if (error == ENOENT || error == ECONNREFUSED)
    return make_error(ErrorKind::kIo, path,
                      "no xnicd serves this socket: start one with xnic up FILE, or name another "
                      "socket with --socket");
  if (error == EACCES || error == EPERM)
    return make_error(ErrorKind::kIo, path,
                      "you may not use this socket: be root or in the group of [card] control_group");
  return make_error(ErrorKind::kIo, path, "{}", std::strerror(error));
}

}  // namespace

Result<Client> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return make_error(ErrorKind::kBadInput, path, "is too long for a Unix socket");
  std::copy(path.begin(), path.end(), address.sun_path);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0 || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return no_daemon(path, errno);
  return Client(std::move(fd), path);
}

Result<void> Client::send_all(base::Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t wrote = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return make_error(ErrorKind::kIo, path_, "xnicd closed the connection: {}", std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(wrote));
  }
  return {};
}

Result<std::optional<Message>> Client::receive(int timeout_ms) {
  for (;;) {
    XNIC_ASSIGN(std::optional<Message> message, decoder_.next());
    if (message) return message;
    pollfd in{fd_.get(), POLLIN, 0};
    const int ready = poll(&in, 1, timeout_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR && timeout_ms >= 0)) return std::nullopt;
    if (ready < 0) continue;
    uint8_t buffer[64 << 10];
    const ssize_t got = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return make_error(ErrorKind::kIo, path_, "xnicd closed the connection: see its log");
    decoder_.feed({buffer, static_cast<size_t>(got)});
  }
}

Result<ordered_json> Client::call(const ordered_json& request, base::Bytes blob) {
  const Message message{to_text(request), {blob.begin(), blob.end()}};
  if (message.json.size() > kMaxJsonBytes || blob.size() > kMaxBlobBytes)
    return make_error(ErrorKind::kLimit, path_, "the request is too big: {} bytes, and {} of the file",
                      message.json.size(), blob.size());
  XNIC_TRY(send_all(encode(message)));
  XNIC_ASSIGN(const std::optional<Message> reply, receive(-1));
  return read_reply(*reply);
}

Result<std::optional<Message>> Client::next(int timeout_ms) {
  XNIC_ASSIGN(std::optional<Message> message, receive(timeout_ms));
  if (!message) return Message{};
  XNIC_ASSIGN(const ordered_json json, read_reply(*message));
  if (json.contains("end")) return std::nullopt;
  return message;
}

}  // namespace xnic::nic::control
