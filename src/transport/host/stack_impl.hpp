// SPDX-License-Identifier: Apache-2.0
// The Stack as it is; used by the stack_*.cpp files only. Which file has what:
//   stack_attach    attaching, losing the agent, finding the next
//   stack_messages  what the agent says
//   stack_sockets   making, connecting and ending sockets
//   stack_data      send and recv
//   stack_options   options and addresses
//   stack_wait      readiness, sleeping, waiting for answers
//   stack_process   fork, and passing sockets on
#pragma once

#include <mutex>
#include <vector>

#include "base/clock.hpp"
#include "transport/host/socket.hpp"
#include "transport/link/attach.hpp"
#include "transport/link/messenger.hpp"

namespace xnic::transport::host {

class StackImpl final : public Stack {
 public:
  StackImpl(const Options& options, Observer* observer) : options_(options), observer_(observer) {}
  base::Result<void> start();

  int64_t socket(int domain, int type, int protocol) override;
  void set_cookie(SocketId socket, void* cookie) override;
  int bind(SocketId socket, const sockaddr* address, socklen_t size) override;
  int listen(SocketId socket, int backlog) override;
  int64_t accept(SocketId socket, sockaddr* address, socklen_t* size) override;
  int connect(SocketId socket, const sockaddr* address, socklen_t size) override;
  int shutdown(SocketId socket, int how) override;
  int close(SocketId socket) override;
  ssize_t send(SocketId socket, const iovec* parts, int count, int flags) override;
  ssize_t recv(SocketId socket, const iovec* parts, int count, int flags) override;
  int getsockopt(SocketId socket, int level, int name, void* value, socklen_t* size) override;
  int setsockopt(SocketId socket, int level, int name, const void* value, socklen_t size) override;
  int getsockname(SocketId socket, sockaddr* address, socklen_t* size) override;
  int getpeername(SocketId socket, sockaddr* address, socklen_t* size) override;
  int64_t readable_bytes(SocketId socket) override;
  int64_t unsent_bytes(SocketId socket) override;
  int at_mark(SocketId socket) override;
  uint32_t ready(SocketId socket) override;
  uint32_t ready_locked(SocketId socket) override;
  bool pump() override;
  void flush() override;
  int wait_fd() const override { return epoll_.get(); }
  bool prepare_sleep() override;
  void woken() override;
  int sleep_limit_ms() override;
  int64_t wait(SocketId socket, uint32_t events, int timeout_ms) override;
  base::Result<void> before_fork() override;
  void after_fork_in_parent() override;
  void after_fork_in_child() override;
  int export_socket(SocketId socket, Token& token) override;
  int64_t import_socket(const Token& token) override;
  bool attached() override;
  Counters counters() override;

 private:
  using Lock = std::unique_lock<std::mutex>;
  using Fd = link::Fd;

  struct Channel {  // to one agent
    Fd connection;
    link::Answer answer;
    std::unique_ptr<link::Messenger> messenger;
  };
  struct Asked {  // a question whose answer somebody waits for
    uint32_t tag = 0;
    bool done = false;
    int error = 0;
    std::vector<uint8_t> answer;
  };

  // stack_attach
  base::Result<Channel> open_channel(const link::Request& request) const;
  void take_channel(Channel channel);
  void lose_agent();
  void look_for_agent();
  void tell_again(SocketId id, Socket& socket);

  // stack_messages
  bool pump_locked();
  bool on_message(const message::MessageHeader& header, base::Bytes body);
  void on_data(SocketId id, Socket& socket, base::Bytes body);
  void on_accepted(SocketId id, base::Bytes body);
  void on_connected(SocketId id, Socket& socket, base::Bytes body);
  void on_reset(SocketId id, Socket& socket, int error);
  void on_revoke(SocketId id, Socket& socket);
  void on_granted(SocketId id, Socket& socket, base::Bytes body);
  void on_reply(base::Bytes body);
  void event(SocketId id, const Socket& socket, uint32_t events) {
    if (observer_ != nullptr && !socket.queued) observer_->on_events(id, socket.cookie, events);
  }

  // stack_wait
  uint32_t ready_of(SocketId id, Socket& socket);
  // Sends a request (its body begins with room for the tag) and waits for the answer: 0 or a negative errno.
  int ask(Lock& lock, message::Type type, SocketId id, std::vector<uint8_t> body,
          std::vector<uint8_t>* answer = nullptr);
  void sleep_locked(Lock& lock, int timeout_ms);
  bool prepare_sleep_locked();
  void room_in_link();
  void flush_locked();

  // stack_sockets
  void reserve(SocketId id, Socket& socket);
  void forget_accepted(SocketId id, Socket& listener);
  void give_back_unread(SocketId id, Socket& socket);
  // Asks for the connection when another process has it; true: it is ours.
  bool owned(SocketId id, Socket& socket);
  void remember(Socket& socket, message::Type type, std::vector<uint8_t> body);

  // stack_data
  ssize_t receive_urgent(Socket& socket, const iovec* parts, int count, int flags);
  void give_credit(SocketId id, Socket& socket, uint32_t bytes);
  uint32_t put_data(SocketId id, Socket& socket, const iovec* parts, int count, int flags);

  // stack_options
  int name_of(Lock& lock, SocketId id, bool peer, sockaddr* address, socklen_t* size);

  Options options_;
  Observer* const observer_;
  base::SystemClock clock_;
  std::mutex mutex_;
  Channel channel_;  // no messenger: no agent
  uint32_t max_sockets_ = 0, window_ = 0;
  SocketTable sockets_;
  ChunkPool pool_;
  std::vector<SocketId> waiting_for_link_;
  std::vector<Asked*> asked_;
  uint32_t next_tag_ = 1;
  uint32_t empty_pumps_ = 0;
  uint64_t next_look_ns_ = 0;  // for a new agent
  Fd epoll_;                   // wait_fd(): holds the present channel's doorbell and connection
  Channel childs_;             // between before_fork() and the fork's end
  bool have_childs_ = false;
  Counters counters_;  // of channels that are gone, and of bytes
};

// The tag and what follows it: the body of a request.
template <class Body>
std::vector<uint8_t> request_body(const Body& body, const void* rest = nullptr, size_t rest_bytes = 0) {
  std::vector<uint8_t> made(sizeof body + rest_bytes);
  std::memcpy(made.data(), &body, sizeof body);
  if (rest_bytes != 0) std::memcpy(made.data() + sizeof body, rest, rest_bytes);
  return made;
}
// As accept(2) and getsockname(2) give an address: cut to *size, which then says how long it is.
void copy_address(const message::Address& from, sockaddr* to, socklen_t* size);
message::Address address_from(base::Bytes bytes);

}  // namespace xnic::transport::host
