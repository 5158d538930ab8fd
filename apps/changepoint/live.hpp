// SPDX-License-Identifier: Apache-2.0
// Frames on a network interface, by a packet socket.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::apps::changepoint {

// Sends and receives whole frames, FCS not included. Needs CAP_NET_RAW. Move-only; owns its descriptor.
class LiveInterface {
 public:
  // Errors: kIo (no such interface, no rights).
  static base::Result<LiveInterface> open(const std::string& name);
  // Errors: kIo.
  base::Result<void> send(base::Bytes frame);
  // The next frame that came in (not those that went out), or nothing after the time. Errors: kIo.
  base::Result<std::optional<std::vector<uint8_t>>> receive(double timeout_s);
  LiveInterface(LiveInterface&& other) noexcept;
  LiveInterface& operator=(LiveInterface&& other) noexcept;
  ~LiveInterface();

 private:
  LiveInterface(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  int fd_;
  std::string name_;
};

}  // namespace xnic::apps::changepoint
