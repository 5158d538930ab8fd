// SPDX-License-Identifier: Apache-2.0
// The other end of the control socket: for the command line and for tests.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "exec/kernel/bpf_call.hpp"
#include "nic/control/protocol.hpp"

namespace xnic::nic::control {

class Client {
 public:
  // Errors: kIo, saying what to do (no daemon there, no right to the socket).
  static base::Result<Client> connect(const std::string& path);

  // Sends a request and waits for its reply. Errors: the daemon's; kIo when it is gone; kLimit when the request is too
  // big.
  base::Result<nlohmann::ordered_json> call(const nlohmann::ordered_json& request, base::Bytes blob = {});
  // After a call that is answered by a stream: the next message; nothing after the last one. With `timeout_ms` not
  // negative, a message without text when none has come until then.
  base::Result<std::optional<Message>> next(int timeout_ms = -1);
  int fd() const { return fd_.get(); }

 private:
  explicit Client(exec::kernel::Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  base::Result<void> send_all(base::Bytes bytes);
  base::Result<std::optional<Message>> receive(int timeout_ms);
  exec::kernel::Fd fd_;
  std::string path_;
  Decoder decoder_;
};

}  // namespace xnic::nic::control
