// SPDX-License-Identifier: Apache-2.0
#include "nic/vi/client.hpp"

#include <linux/membarrier.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<int, std::shared_ptr<Handle>> handles;
};
// Never destroyed: threads of the program may use handles while it exits.
Registry& registry() {
  static Registry* const all = new Registry;
  return *all;
}

long membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

// The mapping of the card that this descriptor is of; null when there is no room for it.
std::shared_ptr<CardMapping> map_card(int fd) {
  static std::mutex* const mutex = new std::mutex;
  static auto* const known = new std::map<std::pair<dev_t, ino_t>, std::weak_ptr<CardMapping>>;
  struct stat status{};
  if (fstat(fd, &status) != 0) return nullptr;
  std::lock_guard lock(*mutex);
  std::erase_if(*known, [](const auto& entry) { return entry.second.expired(); });
  auto& entry = (*known)[{status.st_dev, status.st_ino}];
  if (auto mapping = entry.lock()) return mapping;
  const auto bytes = static_cast<size_t>(status.st_size);
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return nullptr;
  auto mapping = std::make_shared<CardMapping>();
  mapping->card = CardView(base);
  mapping->bytes = bytes;
  entry = mapping;
  return mapping;
}

}  // namespace

CardMapping::~CardMapping() {
  if (card) munmap(card.at(0), bytes);
}

void Connection::shut() {
  std::lock_guard lock(mutex_);
  for (int* const fd : {&memory_fd_, &fd_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

int Connection::exchange(const Request& request, int fd_in, Reply& reply, int* fd_out) {
  iovec part{const_cast<Request*>(&request), sizeof request};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_in >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    *rights = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    std::memcpy(CMSG_DATA(rights), &fd_in, sizeof fd_in);
  }
  ssize_t done;
  while ((done = sendmsg(fd_, &message, MSG_NOSIGNAL)) < 0 && errno == EINTR) {
  }
  if (done < 0) return -ENODEV;
  part = {&reply, sizeof reply};
  message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  while ((done = recvmsg(fd_, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (done != sizeof reply) return -ENODEV;
  int fd = -1;
  if (const cmsghdr* const rights = CMSG_FIRSTHDR(&message); rights != nullptr && rights->cmsg_type == SCM_RIGHTS)
    std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
  if (fd_out != nullptr)
    *fd_out = fd;
  else if (fd >= 0)
    close(fd);
  return reply.error;
}

int Connection::open(const std::string& path, int event_fd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd_ < 0 || connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno == ECONNREFUSED ? -ENOENT : -errno;
  Request hello;
  hello.a = kCardVersion;
  hello.b = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0 ? 0 : 1;
  Reply reply;
  if (const int error = exchange(hello, event_fd, reply, &memory_fd_); error != 0) return error;
  client_ = reply.a;
  mapping_ = map_card(memory_fd_);
  return mapping_ == nullptr ? -ENOMEM : 0;
}

int Connection::ask(const Request& request, Reply& reply, int* fd_out) {
  std::lock_guard lock(mutex_);
  return exchange(request, -1, reply, fd_out);
}

bool Connection::lives() {
  pollfd waiting{fd_, POLLRDHUP, 0};
  return poll(&waiting, 1, 0) == 0 || (waiting.revents & (POLLHUP | POLLRDHUP | POLLERR)) == 0;
}

int Handle::open() {
  const char* const named = std::getenv("XNIC_CARD");
  path_ = named != nullptr ? named : kDefaultSocket;
  return connection_.open(path_, event_fd_);
}

Handle::~Handle() { shut(); }

void Handle::shut() {
  connection_.shut();
  std::lock_guard lock(mutex_);
  for (std::vector<int>* const fds : {&bells_, &kernel_sides_})
    for (int& fd : *fds) {
      if (fd >= 0) close(fd);
      fd = -1;
    }
  if (event_fd_ >= 0) close(event_fd_);
  event_fd_ = -1;
}

void Handle::ring(uint32_t interface) {
  std::lock_guard lock(mutex_);
  const uint32_t generation = card().header().interfaces[interface].generation.load(std::memory_order_acquire);
  if (bells_[interface] >= 0 && bell_generations_[interface] != generation) {
    close(bells_[interface]);
    bells_[interface] = -1;
  }
  if (bells_[interface] < 0) {
    Request request;
    request.ask = Ask::kBell;
    request.a = interface;
    Reply reply;
    if (connection_.ask(request, reply, &bells_[interface]) != 0) return;
    bell_generations_[interface] = generation;
  }
  const uint64_t one = 1;
  (void)!write(bells_[interface], &one, sizeof one);
}

int Handle::kernel_side(uint32_t port) {
  std::lock_guard lock(mutex_);
  if (kernel_sides_[port] < 0) {
    Request request;
    request.ask = Ask::kKernelSide;
    request.a = port;
    Reply reply;
    (void)connection_.ask(request, reply, &kernel_sides_[port]);
  }
  return kernel_sides_[port];
}

Delivery Handle::delivery() {
  return {card(), connection_.client(), [this](uint32_t interface) { ring(interface); },
          [this] { return connection_.lives(); }};
}

void Handle::add(VirtualInterface* interface) {
  std::lock_guard lock(mutex_);
  interfaces_.push_back(interface);
}

void Handle::remove(VirtualInterface* interface) {
  std::lock_guard lock(mutex_);
  std::erase(interfaces_, interface);
}

// Several event queues wake one descriptor, and a wake-up takes it: so it is emptied here, and filled again when
// another queue has been woken and its owner has not primed it again yet.
void Handle::prime(VirtualInterface& interface, uint32_t current) {
  std::atomic<uint32_t>& armed = interface.shared->armed;
  const uint64_t one = 1;
  {
    std::lock_guard lock(mutex_);
    uint64_t wakes;
    (void)!read(event_fd_, &wakes, sizeof wakes);
    armed.store(1);
    for (VirtualInterface* other : interfaces_)
      if (other != &interface && other->shared->armed.load() == 2) (void)!write(event_fd_, &one, sizeof one);
  }
  if (card().header().fences.load() == 0)
    membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
  else
    std::atomic_thread_fence(std::memory_order_seq_cst);
  uint32_t expected = 1;
  if (interface.has_event_at(current) && armed.compare_exchange_strong(expected, 2))
    (void)!write(event_fd_, &one, sizeof one);
}

std::shared_ptr<Handle> find_handle(ef_driver_handle dh) {
  std::lock_guard lock(registry().mutex);
  const auto found = registry().handles.find(dh);
  return found == registry().handles.end() ? nullptr : found->second;
}

int open_handle(ef_driver_handle* out) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return -errno;
  auto handle = std::make_shared<Handle>(fd);
  if (const int error = handle->open(); error != 0) return error;
  std::lock_guard lock(registry().mutex);
  // A number that the kernel gives again: the program closed its handle with close(2).
  registry().handles[fd] = std::move(handle);
  *out = fd;
  return 0;
}

int close_handle(ef_driver_handle dh) {
  std::lock_guard lock(registry().mutex);
  const auto found = registry().handles.find(dh);
  if (found == registry().handles.end()) return -EBADF;
  // Interfaces that were not freed keep the memory mapped, so that their rings can still be looked at.
  found->second->shut();
  registry().handles.erase(found);
  return 0;
}

}  // namespace xnic::nic::vi
