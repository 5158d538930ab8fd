// SPDX-License-Identifier: Apache-2.0
// The agent as it is; used by the agent_*.cpp files only. Which file has what:
//   agent           the loop
//   agent_sessions  host processes: coming, going, inheriting
//   agent_messages  what they say
//   agent_sockets   making, accepting and ending TCP sockets
//   agent_data      bytes, both ways
//   agent_options   which options pass
//   agent_claims    who owns a connection, and passing it on
#pragma once

#include <sys/epoll.h>
#include <sys/uio.h>

#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "nic/port/memory_listener.hpp"
#include "transport/agent/agent.hpp"
#include "transport/agent/tcp_socket.hpp"
#include "transport/link/messenger.hpp"

namespace xnic::transport::agent {

// A host process.
struct Session : Source {
  Session() : Source(Kind::kSession) {}
  struct Bell : Source {
    explicit Bell(Session* session) : Source(Kind::kBell), session(session) {}
    Session* const session;
  };

  struct Entry {
    uint32_t id = 0;
    TcpSocket* socket = nullptr;
  };

  uint32_t number = 0;
  uint64_t secret = 0;
  uint32_t uid = 0, pid = 0;
  Fd connection;
  std::unique_ptr<link::Messenger> messenger;
  Bell bell{this};
  std::vector<Entry> table;         // by the index of the id
  uint32_t sockets = 0;             // in it
  bool over_xdp = false;            // its link is the interface's
  bool left = false;                // the process is gone
  const char* violation = nullptr;  // why it is cut off
  uint64_t bytes_to_peers = 0, bytes_to_host = 0, accepted = 0, connected = 0;

  // Null: no such id.
  TcpSocket* find(uint32_t id) const {
    const uint32_t index = id & 0xfffff;
    return index < table.size() && table[index].id == id ? table[index].socket : nullptr;
  }
};

// A connection at the Unix socket that has not yet said what it wants.
struct Guest : Source {
  explicit Guest(Fd connection) : Source(Kind::kGuest), connection(std::move(connection)) {}
  Fd connection;
  uint64_t until_ns = 0;
};

class AgentImpl final : public Agent {
 public:
  AgentImpl(const Options& options, nic::port::memory::Listener listener)
      : options_(options), listener_(std::move(listener)) {}
  ~AgentImpl() override;
  base::Result<void> start();
  void run() override;
  void stop() override;

 private:
  using Token = std::array<uint8_t, 16>;
  struct Exported {
    TcpSocket* socket;
    Session* session;
  };

  // agent
  bool turn();
  void wait(int timeout_ms);
  void on_event(const epoll_event& event);
  bool prepare_sleep();
  int sleep_limit_ms() const;
  void bury();
  void sweep(uint64_t now_ns);

  // agent_sessions
  void welcome_guest();
  void on_guest(Guest& guest);
  void forget_guest(Guest& guest);
  struct MadeLink {
    std::unique_ptr<link::Link> link;
    Fd memfd, bell;  // for the process, of a memory link
  };
  base::Result<MadeLink> make_link(link::Purpose purpose, Session& session) const;
  void begin_session(Guest& guest, const link::Request& request);
  void inherit(Session& session, const Session& from);
  bool serve(Session& session);
  void end_session(Session& session);
  std::string statistics() const;

  // agent_messages: true: taken
  bool on_message(Session& session, const message::MessageHeader& header, base::Bytes body);
  void on_socket_message(Session& session, TcpSocket& socket, const message::MessageHeader& header, base::Bytes body);
  void answer(Session& session, uint32_t id, uint32_t tag, int error, base::Bytes rest = {});
  void violate(Session& session, const char* what) { session.violation = what; }
  void on_socket(Session& session, uint32_t id, base::Bytes body);
  void on_bind(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_connect(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_listen(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_shutdown(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_close(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_name(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_unsent(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_accept_credit(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);

  // agent_options
  void on_set_option(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_get_option(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);

  // agent_sockets
  bool add_reference(Session& session, uint32_t id, TcpSocket& socket);
  void drop_reference(Session& session, uint32_t id, TcpSocket& socket, bool unread);
  void watch(TcpSocket& socket, uint32_t events);
  void unwatch(TcpSocket& socket);
  void list(TcpSocket& socket);
  void on_socket_event(TcpSocket& socket, uint32_t events);
  void finish_connect(TcpSocket& socket);
  void accept_from(TcpSocket& listener);
  void hand_to(TcpSocket& listener, Acceptor::Member& member, TcpSocket& socket);
  void begin_close(TcpSocket& socket, bool reset);
  void end_close(TcpSocket& socket);
  void look_at_closing(uint64_t now_ns);

  // agent_data
  void gather(TcpSocket& socket, base::Bytes body, bool more);
  void flush_gathered();
  void send_to_peer(TcpSocket& socket, const iovec* parts, size_t count, size_t bytes, int flags);
  void send_waiting(TcpSocket& socket);
  void gone_to_peer(TcpSocket& socket, uint32_t bytes);
  bool read_from_peer(TcpSocket& socket);
  bool give_unread(TcpSocket& socket);
  void take_urgent(TcpSocket& socket);
  void fail(TcpSocket& socket, int error);

  // agent_claims
  void on_claim(Session& session, TcpSocket& socket, uint32_t id);
  void on_unread(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void lose_owner(TcpSocket& socket);
  void on_export(Session& session, TcpSocket& socket, uint32_t id, base::Bytes body);
  void on_import(Session& session, uint32_t id, base::Bytes body);

  const Options options_;
  base::SystemClock clock_;
  nic::port::memory::Listener listener_;
  Fd epoll_, stop_;
  Source stop_source_{Source::Kind::kStop}, listener_source_{Source::Kind::kListener};
  bool stopping_ = false;
  uint32_t next_session_;
  std::vector<std::unique_ptr<Guest>> guests_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::unordered_map<TcpSocket*, std::unique_ptr<TcpSocket>> sockets_;
  std::map<Token, Exported> exported_;
  std::vector<TcpSocket*> work_, work_now_;  // readable, with credit
  std::vector<TcpSocket*> starved_;          // listeners that found no descriptor
  std::vector<TcpSocket*> closing_;
  std::vector<std::unique_ptr<TcpSocket>> dead_sockets_;  // until no event of this turn can name them
  std::vector<std::unique_ptr<Session>> dead_sessions_;
  std::vector<std::unique_ptr<Guest>> dead_guests_;
  uint64_t next_sweep_ns_ = 0;
  uint64_t cut_off_ = 0;  // sessions, so far

  // Data of one connection that is still in the link.
  TcpSocket* gathered_for_ = nullptr;
  std::array<iovec, 64> gathered_;
  size_t gathered_count_ = 0, gathered_bytes_ = 0;
  bool gathered_more_ = false;
};

// Whether a session may set, or get, an option of the agent's socket: those whose values are plain bytes and that give
// no power over other traffic.
bool may_set_option(int level, int name);
bool may_get_option(int level, int name);
message::Address name_of(int fd, bool peer, int* error = nullptr);

}  // namespace xnic::transport::agent
