// SPDX-License-Identifier: Apache-2.0
// One thread waits for clients, their requests, and frames from the kernel's side of the ports. A client that closes
// its connection, or dies, is dropped at once.
#include "nic/vi/service/card_service.hpp"

#include <etherfabric/vi.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "nic/port/memory_listener.hpp"
#include "nic/port/tap.hpp"
#include "nic/vi/service/state.hpp"

namespace xnic::nic::vi {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr int kGroupsEveryMs = 500;
constexpr uint32_t kFramesAtOnce = 64;  // from one kernel side, before the others are looked at

// What the kernel sends out of a port's interface goes over the wire, as what a virtual interface sends does.
struct KernelSide {
  std::unique_ptr<port::Port> tap;
  uint32_t port = kNone;
  std::unique_ptr<Steering> wire, outgoing;
};

Result<void> set_address(const std::string& interface, const port::MacAddress& mac) {
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, mac.data(), mac.size());
  if (ioctl(any.get(), SIOCSIFHWADDR, &request) != 0)
    return make_error(ErrorKind::kIo, interface, "cannot set the MAC address: {}", std::strerror(errno));
  return {};
}

}  // namespace

class CardService::Impl {
 public:
  Result<void> open(const CardOptions& options);
  ~Impl();
  void run();
  Port* find(const std::string& name);  // null: no such port

  std::unique_ptr<State> state;
  CardView card;
  Fd memory, stop;
  std::unique_ptr<port::memory::Listener> listener;
  std::vector<KernelSide> kernel_sides;
  std::thread thread;
  std::atomic<uint32_t> client_count{0};
  std::atomic<uint64_t> pages{0};
  base::SystemClock clock;

 private:
  Result<void> add_port(const CardOptions& options, uint32_t number);
  void serve(Client& client);
  void note_use() {
    client_count.store(static_cast<uint32_t>(state->clients().size()));
    pages.store(state->pages_in_use());
  }
  void carry(KernelSide& side);
};

Result<void> CardService::Impl::open(const CardOptions& options) {
  if (options.ports.empty() || options.ports.size() > kMaxPorts)
    return make_error(ErrorKind::kBadInput, options.socket, "a card has 1 to {} ports", kMaxPorts);
  memory = Fd(memfd_create("xnic-card", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  stop = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (memory.get() < 0 || ftruncate(memory.get(), static_cast<off_t>(kCardBytes)) != 0)
    return make_error(ErrorKind::kIo, options.socket, "cannot make the card's memory: {}", std::strerror(errno));
  // No access of anybody can fail because another made it shorter.
  fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  void* const base = mmap(nullptr, kCardBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory.get(), 0);
  if (base == MAP_FAILED)
    return make_error(ErrorKind::kIo, options.socket, "cannot map the card's memory: {}", std::strerror(errno));
  card = CardView(base);
  CardHeader& header = card.header();
  header.magic = kCardMagic;
  header.version = kCardVersion;
  header.header_bytes = sizeof(CardHeader);
  header.alive.store(1);
  state = std::make_unique<State>(card, memory.get());
  for (uint32_t i = 0; i < options.ports.size(); ++i) XNIC_TRY(add_port(options, i));
  for (KernelSide& side : kernel_sides) {
    const uint32_t peer = header.ports[side.port].peer;
    if (peer != kNone) side.wire = std::make_unique<Steering>(card, peer, Face::kWire);
    side.outgoing = std::make_unique<Steering>(card, side.port, Face::kOutgoing);
  }
  XNIC_ASSIGN(auto listening, port::memory::Listener::listen(options.socket, options.socket_mode));
  listener = std::make_unique<port::memory::Listener>(std::move(listening));
  return {};
}

Result<void> CardService::Impl::add_port(const CardOptions& options, uint32_t number) {
  const PortOptions& wanted = options.ports[number];
  if (wanted.name.empty() || wanted.name.size() >= IFNAMSIZ)
    return make_error(ErrorKind::kBadInput, wanted.name, "the name of a port has 1 to {} characters", IFNAMSIZ - 1);
  Port& port = card.header().ports[number];
  port.peer = kNone;
  if (!wanted.peer.empty()) {
    const auto peer = std::ranges::find(options.ports, wanted.peer, &PortOptions::name);
    if (peer == options.ports.end() || peer->peer != wanted.name)
      return make_error(ErrorKind::kBadInput, wanted.name, "its peer {} is no port whose peer it is", wanted.peer);
    port.peer = static_cast<uint32_t>(peer - options.ports.begin());
  }
  std::strcpy(port.name, wanted.name.c_str());
  port.mtu = wanted.mtu;
  port::MacAddress mac = wanted.mac;
  if (mac == port::MacAddress{}) mac = {0x02, 0x78, 0x6e, 0x76, 0x69, static_cast<uint8_t>(number + 1)};
  std::ranges::copy(mac, port.mac);
  port.ifindex = wanted.ifindex != 0 ? wanted.ifindex : number + 1;
  if (wanted.kernel_side) {
    port::Info info;
    info.name = wanted.name;
    info.mtu = wanted.mtu;
    info.queues = 1;
    KernelSide side;
    XNIC_ASSIGN(side.tap, port::open_tap(info, wanted.name, clock));
    XNIC_TRY(set_address(wanted.name, mac));
    side.port = number;
    port.ifindex = if_nametoindex(wanted.name.c_str());
    port.kernel_side = 1;
    state->kernel_sides[number] = side.tap->wait_fd(0);
    kernel_sides.push_back(std::move(side));
  }
  port.live = 1;
  return {};
}

CardService::Impl::~Impl() {
  if (thread.joinable()) {
    const uint64_t one = 1;
    (void)!write(stop.get(), &one, sizeof one);
    thread.join();
  }
  if (!card) return;
  card.header().alive.store(0);
  for (uint32_t i = 0; i < kMaxInterfaces; ++i) {
    const Interface& interface = card.header().interfaces[i];
    if (interface.state.load() == kLive && interface.event_entries != 0)
      state->delivery().signal(i, {EventKind::kReset});
  }
  state.reset();
  munmap(card.at(0), kCardBytes);
}

// One request, or the end of the client.
void CardService::Impl::serve(Client& client) {
  Request request;
  Reply reply;
  iovec part{&request, sizeof request};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(client.socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  Fd fd_in;
  if (const cmsghdr* const rights = CMSG_FIRSTHDR(&message); got > 0 && rights != nullptr) {
    int fd;
    std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    fd_in = Fd(fd);
  }
  if (got != sizeof request || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return state->drop_client(client);
  int fd_out = -1;
  reply = state->answer(client, request, std::move(fd_in), fd_out);
  note_use();  // before the client goes on
  part = {&reply, sizeof reply};
  message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_out >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    *rights = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    std::memcpy(CMSG_DATA(rights), &fd_out, sizeof fd_out);
  }
  (void)sendmsg(client.socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void CardService::Impl::carry(KernelSide& side) {
  std::vector<uint8_t> bytes(65536 + 22);
  const Delivery delivery = state->delivery();
  for (uint32_t i = 0; i < kFramesAtOnce; ++i) {
    const ssize_t got = read(side.tap->wait_fd(0), bytes.data(), bytes.size());
    if (got < 14) return;
    Frame frame;
    frame.add(bytes.data(), static_cast<uint32_t>(got));
    pad(frame);
    const auto now =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
    const auto give = [&](Steering& steering) -> const Decision& {
      const Decision& decision = steering.decide(bytes.data(), static_cast<uint32_t>(got));
      for (uint32_t target = 0; target < decision.count; ++target)
        delivery.deliver(decision.targets[target], frame, decision.group, static_cast<uint64_t>(now.count()));
      return decision;
    };
    if (!side.outgoing->idle()) give(*side.outgoing);
    if (side.wire == nullptr) continue;
    const uint32_t peer = card.header().ports[side.port].peer;
    const Decision& decision = give(*side.wire);
    if (decision.kernel) (void)!write(state->kernel_sides[peer], bytes.data(), static_cast<size_t>(got));
    if (!decision.kernel && decision.count == 0) card.header().ports[peer].unclaimed.fetch_add(1);
  }
}

void CardService::Impl::run() {
  std::vector<pollfd> waiting;
  while (true) {
    waiting.assign({{stop.get(), POLLIN, 0}, {listener->fd(), POLLIN, 0}});
    for (const KernelSide& side : kernel_sides) waiting.push_back({side.tap->wait_fd(0), POLLIN, 0});
    std::vector<uint32_t> numbers;
    for (const Client& client : state->clients()) {
      waiting.push_back({client.socket.get(), POLLIN, 0});
      numbers.push_back(client.number);
    }
    if (poll(waiting.data(), waiting.size(), kernel_sides.empty() ? -1 : kGroupsEveryMs) < 0 && errno != EINTR) return;
    if (waiting[0].revents != 0) return;
    state->refresh_groups();
    size_t at = 2;
    for (KernelSide& side : kernel_sides)
      if (waiting[at++].revents != 0) carry(side);
    for (const uint32_t number : numbers)
      if (Client* const client = state->find_client(number); waiting[at++].revents != 0 && client != nullptr)
        serve(*client);
    if (waiting[1].revents != 0) {
      if (Fd connection = listener->accept(); connection.get() >= 0) {
        ucred peer{};
        socklen_t size = sizeof peer;
        getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
        state->add_client(std::move(connection), peer.pid);
      }
    }
    note_use();
  }
}

Port* CardService::Impl::find(const std::string& name) {
  for (Port& port : card.header().ports)
    if (port.live != 0 && name == port.name) return &port;
  return nullptr;
}

CardService::CardService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CardService::~CardService() = default;

Result<std::unique_ptr<CardService>> CardService::start(const CardOptions& options) {
  auto impl = std::make_unique<Impl>();
  XNIC_TRY(impl->open(options));
  impl->thread = std::thread([running = impl.get()] { running->run(); });
  return std::unique_ptr<CardService>(new CardService(std::move(impl)));
}

uint32_t CardService::clients() const { return impl_->client_count.load(); }
uint64_t CardService::pages_in_use() const { return impl_->pages.load(); }

uint64_t CardService::unclaimed(const std::string& port) const {
  const Port* const known = impl_->find(port);
  return known != nullptr ? known->unclaimed.load() : 0;
}

void CardService::provoke_underruns(const std::string& port, uint32_t count) {
  if (Port* const known = impl_->find(port); known != nullptr) known->underruns.store(count);
}

}  // namespace xnic::nic::vi
