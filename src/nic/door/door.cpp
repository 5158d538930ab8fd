// SPDX-License-Identifier: Apache-2.0
// Threads of the door: one accepts, one serves each client. A client's thread says `ended` when it is done, and the
// accepting thread joins it with the next connection. Rights are looked at when a connection is made, by the
// credentials that the kernel recorded then.
#include "nic/door/door.hpp"

#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace xnic::nic::door {

using base::ErrorKind;
using base::make_error;
using base::Result;
using device::remote::Channel;
using device::remote::Peer;
using device::remote::Session;
using exec::kernel::Fd;

struct Door::Client {
  Client(device::Device& device, device::remote::Network& network, Fd socket, Peer peer)
      : session(device, network, Channel(std::move(socket)), peer) {}
  void touch() { heard_ns = std::chrono::steady_clock::now().time_since_epoch().count(); }
  Session session;
  std::atomic<bool> ended{false};
  std::atomic<bool> busy{false};
  std::atomic<int64_t> heard_ns{0};
  std::thread thread{};
};

namespace {

base::Unexpected refused(const std::string& path, std::string_view what) {
  return make_error(ErrorKind::kIo, path, "cannot {}: {}", what, std::strerror(errno));
}

bool is_member(int socket, gid_t wanted) {
  std::vector<gid_t> groups(256);
  auto size = static_cast<socklen_t>(groups.size() * sizeof groups[0]);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
  groups.resize(size / sizeof groups[0]);
  return std::ranges::find(groups, wanted) != groups.end();
}

}  // namespace

Door::Door(DoorOptions options) : options_(std::move(options)) {}

Result<std::unique_ptr<Door>> Door::open(const DoorOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = options.path;
  if (path.size() >= sizeof address.sun_path)
    return make_error(ErrorKind::kBadInput, path, "is too long for a Unix socket");
  std::copy(path.begin(), path.end(), address.sun_path);
  std::unique_ptr<Door> door(new Door(options));
  door->group_ = getegid();
  if (!options.group.empty()) {
    const struct group* entry = getgrnam(options.group.c_str());
    if (entry == nullptr) return make_error(ErrorKind::kBadInput, path, "there is no group \"{}\"", options.group);
    door->group_ = entry->gr_gid;
  }
  struct stat there{};
  if (lstat(path.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode))
    return make_error(ErrorKind::kBadInput, path, "is no socket: remove the file, or choose another [card] control");
  unlink(path.c_str());  // of a daemon that is gone
  door->stop_ = Fd(eventfd(0, EFD_CLOEXEC));
  door->socket_ = Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (door->socket_.get() < 0 || door->stop_.get() < 0) return refused(path, "make a socket");
  const mode_t before = umask(0177);  // nobody but the owner gets in between bind and chmod
  const int bound = bind(door->socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0) return refused(path, "make the socket");
  if (!options.group.empty() && chown(path.c_str(), static_cast<uid_t>(-1), door->group_) != 0)
    return refused(path, "give the socket to its group");
  if (chmod(path.c_str(), options.mode) != 0) return refused(path, "set the socket's permissions");
  if (listen(door->socket_.get(), 64) != 0) return refused(path, "listen");
  return door;
}

Door::~Door() {
  eventfd_write(stop_.get(), 1);
  if (acceptor_.joinable()) acceptor_.join();
  for (const auto& client : clients_) shutdown(client->session.fd(), SHUT_RDWR);
  for (const auto& client : clients_) client->thread.join();
  unlink(options_.path.c_str());
}

void Door::serve(device::Device& device, device::remote::Network& network) {
  device_ = &device;
  network_ = &network;
  acceptor_ = std::thread([this] { accept_loop(); });
}

size_t Door::clients() const {
  std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::ranges::count_if(clients_, [](const auto& client) { return !client->ended; }));
}

// Root, the daemon's own user, and the socket's group may change the card; others who get in may look.
Peer Door::peer_of(int socket) const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  Peer peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  const bool in_group = !options_.group.empty() && (credentials.gid == group_ || is_member(socket, group_));
  peer.read_only = credentials.uid != 0 && credentials.uid != geteuid() && !in_group;
  return peer;
}

// Joins the threads that have ended; when all places are taken, makes the longest silent client end. False: every
// client is in the middle of a command.
bool Door::make_room() {
  std::lock_guard lock(mutex_);
  std::erase_if(clients_, [](const auto& client) {
    if (!client->ended) return false;
    client->thread.join();
    return true;
  });
  if (clients_.size() < kMaxClients) return true;
  Client* silent = nullptr;
  for (const auto& client : clients_)
    if (!client->busy && (silent == nullptr || client->heard_ns < silent->heard_ns)) silent = client.get();
  if (silent == nullptr) return false;
  shutdown(silent->session.fd(), SHUT_RDWR);
  silent->thread.join();
  std::erase_if(clients_, [&](const auto& client) { return client.get() == silent; });
  return true;
}

void Door::admit(Fd socket) {
  const Peer peer = peer_of(socket.get());
  auto client = std::make_unique<Client>(*device_, *network_, std::move(socket), peer);
  client->touch();
  Client* const served = client.get();
  std::lock_guard lock(mutex_);
  clients_.push_back(std::move(client));
  served->thread = std::thread([served] {
    pollfd waiting{served->session.fd(), POLLIN, 0};
    while (poll(&waiting, 1, -1) > 0 || errno == EINTR) {
      served->busy = true;
      const bool more = served->session.serve_one();
      served->busy = false;
      served->touch();
      if (!more) break;
    }
    shutdown(served->session.fd(), SHUT_RDWR);
    served->ended = true;
  });
}

void Door::accept_loop() {
  for (;;) {
    pollfd waiting[] = {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[0].revents != 0) return;
    if ((waiting[1].revents & POLLIN) == 0) continue;
    if (!make_room()) {
      poll(waiting, 1, 10);  // the newcomer waits in the socket's queue
      continue;
    }
    Fd socket(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.get() >= 0) admit(std::move(socket));
  }
}

}  // namespace xnic::nic::door
