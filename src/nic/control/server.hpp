// SPDX-License-Identifier: Apache-2.0
// The daemon's end of the control socket: one thread, many connections, none of which can hold up another.
//
// Who may connect is said by the socket's owner and mode. A connection costs what it sends, up to the limits of
// protocol.hpp; nothing is read from a peer that does not take its replies, and one that says nothing for a minute in
// the middle of a message, or at all, is closed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "exec/kernel/bpf_call.hpp"
#include "nic/control/protocol.hpp"

namespace xnic::nic::control {

inline constexpr size_t kMaxConnections = 32;
inline constexpr int kTickMs = 20;  // how often streams and on_tick are looked at

// Who is at the other end, by SO_PEERCRED.
struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Messages after a reply. Destroyed when the client is gone.
class Stream {
 public:
  virtual ~Stream() = default;
  // The next message, or nothing for now. Called as long as the client takes what it gets.
  virtual std::optional<Message> next() = 0;
  // True when next() will give no more; the server then says {"end": true}.
  virtual bool ended() const = 0;
};

struct Reply {
  Message message;
  std::unique_ptr<Stream> stream{};
};

// A lock on `path` + ".lock" and a Unix socket at `path`, both gone with this.
class Endpoint {
 public:
  // Makes the folder of `path` if it is missing (not its parents), takes the lock, replaces a socket that a dead
  // process left, gives it `mode` and, unless empty, `group`. Errors: kLimit (a living process serves `path`),
  // kBadInput (something there that is no socket, no such group), kIo.
  static base::Result<Endpoint> open(const std::string& path, uint32_t mode, const std::string& group);
  Endpoint(Endpoint&&) = default;
  ~Endpoint();
  int fd() const { return socket_.get(); }

 private:
  Endpoint(std::string path, exec::kernel::Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  exec::kernel::Fd lock_, socket_;
};

class Server {
 public:
  using Handler = std::function<Reply(const Message&, const Peer&)>;
  // Pre: `endpoint` outlives the server.
  Server(Endpoint& endpoint, Handler handler);
  ~Server();
  // Serves until `stop_fd` can be read, calling `on_tick` every kTickMs or so. What has been answered by then is still
  // sent, for a second at most.
  void serve(int stop_fd, const std::function<void()>& on_tick);

 private:
  struct Connection;
  void accept_one();
  bool attend(Connection& connection, short events);
  bool read_from(Connection& connection);
  bool answer(Connection& connection);
  bool pump(Connection& connection);
  bool write_to(Connection& connection);
  void finish();

  Endpoint& endpoint_;
  Handler handler_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace xnic::nic::control
