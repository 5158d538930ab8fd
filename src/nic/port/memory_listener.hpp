// SPDX-License-Identifier: Apache-2.0
// The Unix socket at which other processes attach, and what is said there: peers of a memory port, host processes of
// the TCP offload's agent, clients of ef_vi.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nic/port/memory_region.hpp"

namespace xnic::nic::port::memory {

class Listener {
 public:
  // Makes the socket at `path` with permissions `mode`, in place of one that a dead process left. Errors: kBadInput
  // (too long, or a file that is no socket), kLimit (a living process serves it), kIo.
  static base::Result<Listener> listen(const std::string& path, uint32_t mode);
  Listener(Listener&&) = default;
  ~Listener();  // removes the socket
  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  Fd accept() const;  // -1: nobody is there any more

 private:
  Listener(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
};

// A pair of doorbells. They are sockets because a socket can be told for each call not to block: an eventfd's
// O_NONBLOCK belongs to both sides, and a hostile peer could take it off and have the card wait.
std::pair<Fd, Fd> make_bell();
// Sends the greeting with the memfd and the doorbells. False: the peer is gone already.
bool greet(const Fd& connection, const std::vector<Fd>& fds);
void refuse(const Fd& connection, const std::string& why);
// True when the peer has closed the connection, or said something, which it has no reason to.
bool has_spoken_or_left(const Fd& connection);

}  // namespace xnic::nic::port::memory
