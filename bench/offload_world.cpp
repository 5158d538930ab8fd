// SPDX-License-Identifier: Apache-2.0
// Namespaces belong to threads: unshare(2) gives a thread one, setns(2) brings others into it.
#include "offload_world.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/clock.hpp"
#include "datapath_card.hpp"

namespace xnic::bench {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr uint32_t kBlockBytes = 65536;

Result<void> shell(const std::string& command) {
  if (std::system((command + " > /dev/null 2>&1").c_str()) == 0) return {};
  return make_error(ErrorKind::kIo, "offload", "'{}' failed (it needs root)", command);
}

sockaddr_in address_of(const char* address, uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_port = htons(port);
  inet_pton(AF_INET, address, &made.sin_addr);
  return made;
}

int connect_to(const char* address, uint16_t port) {
  const sockaddr_in to = address_of(address, port);
  for (int attempt = 0; attempt < 500; ++attempt) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    close(fd);
    usleep(10'000);  // the server is not there yet
  }
  return -1;
}

int listen_at(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in at = address_of("0.0.0.0", port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 || listen(fd, 1024) != 0) return -1;
  return fd;
}

void add(int epoll, int fd) {
  epoll_event event{EPOLLIN, {}};
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

uint64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

double seconds_since(uint64_t from_ns) {
  return static_cast<double>(base::SystemClock().monotonic_ns() - from_ns) / 1e9;
}

}  // namespace

Result<std::unique_ptr<TwoHosts>> TwoHosts::make() {
  std::unique_ptr<TwoHosts> made(new TwoHosts);
  std::atomic<bool> failed{false};
  auto hold = [&failed, self = made.get()](Holder& holder) {
    if (unshare(CLONE_NEWNET) != 0) failed = true;
    holder.fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    holder.tid = static_cast<int>(syscall(SYS_gettid));
    while (!self->stop_) usleep(1000);
  };
  for (Holder* holder : {&made->host_, &made->card_}) {
    holder->thread = std::thread([hold, holder] { hold(*holder); });
    while (holder->tid == 0) usleep(100);
  }
  if (failed) return make_error(ErrorKind::kIo, "offload", "cannot make network namespaces: it needs root");
  Result<void> result;
  std::thread setup([&] {
    setns(made->host_.fd, CLONE_NEWNET);
    const std::string card = std::to_string(made->card_.tid.load());
    result = shell("ip link add xno0 type veth peer name xno1 && ip link set xno1 netns " + card +
                   " && ip link add xnl0 mtu 3500 type veth peer name xnl1 mtu 3500 && ip link set xnl1 netns " + card +
                   " && ip link set lo up && ip link set xnl0 up && ip addr add " + kHostAddress +
                   "/24 dev xno0 && ip link set xno0 up");
    if (!result) return;
    setns(made->card_.fd, CLONE_NEWNET);
    result = shell(std::string("ip link set lo up && ip addr add ") + kCardAddress +
                   "/24 dev xno1 && ip link set xno1 up && ip link set xnl1 up");
  });
  setup.join();
  if (!result) return base::Unexpected(result.error());
  return made;
}

TwoHosts::~TwoHosts() {
  stop_ = true;
  for (Holder* holder : {&host_, &card_}) {
    if (holder->thread.joinable()) holder->thread.join();
    if (holder->fd >= 0) close(holder->fd);
  }
}

std::thread TwoHosts::thread(Side side, std::function<void()> body) const {
  const int fd = side == Side::kHost ? host_.fd : card_.fd;
  const int cpu = side == Side::kHost ? kHostCpu : kAgentCpu;
  return std::thread([fd, cpu, body = std::move(body)] {
    setns(fd, CLONE_NEWNET);
    pin_thread(cpu);
    go_realtime(1);
    body();
  });
}

Work::Work() {
  const uint64_t events[2] = {PERF_COUNT_HW_INSTRUCTIONS, PERF_COUNT_HW_CPU_CYCLES};
  for (int i = 0; i < 2; ++i) {
    perf_event_attr attributes{};
    attributes.size = sizeof attributes;
    attributes.type = PERF_TYPE_HARDWARE;
    attributes.config = events[i];
    attributes.disabled = 1;
    fds_[i] = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
  }
}

Work::~Work() {
  for (const int fd : fds_)
    if (fd >= 0) close(fd);
}

void Work::start() {
  for (const int fd : fds_) ioctl(fd, PERF_EVENT_IOC_RESET, 0);
  for (const int fd : fds_) ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
  cpu_ns_ = thread_cpu_ns();
}

void Work::stop() {
  cpu_ns_ = thread_cpu_ns() - cpu_ns_;
  for (const int fd : fds_) ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
  for (int i = 0; i < 2; ++i)
    if (read(fds_[i], &values_[i], sizeof values_[i]) != sizeof values_[i]) values_[i] = 0;
}

// ---- loads

LoadResult echo_load(const char* address, uint16_t port, int connections, uint32_t bytes,
                     const std::atomic<bool>& stop) {
  LoadResult result;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> fds;
  std::vector<char> text(bytes, 'e');
  for (int i = 0; i < connections; ++i) {
    const int fd = connect_to(address, port);
    if (fd < 0) break;
    fds.push_back(fd);
    add(epoll, fd);
    (void)send(fd, text.data(), bytes, MSG_NOSIGNAL);
  }
  const uint64_t from_ns = base::SystemClock().monotonic_ns();
  epoll_event events[64];
  std::vector<uint32_t> have(65536, 0);
  while (!stop) {
    const int count = epoll_wait(epoll, events, 64, 10);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      const ssize_t got = recv(fd, text.data(), bytes - have[static_cast<size_t>(fd)], MSG_DONTWAIT);
      if (got <= 0) continue;
      uint32_t& so_far = have[static_cast<size_t>(fd)];
      so_far += static_cast<uint32_t>(got);
      if (so_far < bytes) continue;
      so_far = 0;
      ++result.requests;
      (void)send(fd, text.data(), bytes, MSG_NOSIGNAL);
    }
  }
  result.seconds = seconds_since(from_ns);
  for (const int fd : fds) close(fd);
  close(epoll);
  return result;
}

LoadResult short_load(const char* address, uint16_t port, const std::atomic<bool>& stop) {
  LoadResult result;
  const uint64_t from_ns = base::SystemClock().monotonic_ns();
  const linger at_once{1, 0};  // no port waits in TIME_WAIT
  char byte = 'c';
  while (!stop) {
    const int fd = connect_to(address, port);
    if (fd < 0) break;
    if (send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && recv(fd, &byte, 1, 0) == 1) ++result.requests;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
  }
  result.seconds = seconds_since(from_ns);
  return result;
}

LoadResult sink_load(const char* address, uint16_t port, const std::atomic<bool>& stop) {
  LoadResult result;
  const int fd = connect_to(address, port);
  const timeval patience{0, 20'000};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::vector<char> block(4 * kBlockBytes);
  const uint64_t from_ns = base::SystemClock().monotonic_ns();
  while (!stop) {
    const ssize_t got = recv(fd, block.data(), block.size(), 0);
    if (got > 0) result.requests += static_cast<uint64_t>(got);
  }
  result.seconds = seconds_since(from_ns);
  close(fd);
  return result;
}

void hold_connections(const char* address, uint16_t port, int count, const std::atomic<bool>& stop) {
  std::vector<int> fds;
  for (int i = 0; i < count && !stop; ++i) {
    const int fd = connect_to(address, port);
    if (fd < 0) break;
    fds.push_back(fd);
  }
  while (!stop) usleep(10'000);
  for (const int fd : fds) close(fd);
}

// ---- servers of kernel TCP

namespace {

// Starts and stops the counters as `measure` says.
class Gate {
 public:
  explicit Gate(const std::atomic<bool>& measure) : measure_(measure) {}
  bool open() {
    const bool now = measure_.load(std::memory_order_relaxed);
    if (now && !open_) work_.start();
    if (!now && open_) work_.stop();
    return open_ = now;
  }
  void finish(ServerResult& result) {
    if (open_) work_.stop();
    result.cpu_ns = work_.cpu_ns();
    result.instructions = work_.instructions();
    result.cycles = work_.cycles();
  }

 private:
  const std::atomic<bool>& measure_;
  Work work_;
  bool open_ = false;
};

}  // namespace

ServerResult kernel_echo(uint16_t port, const std::atomic<bool>& measure, const std::atomic<bool>& stop) {
  ServerResult result;
  const int listener = listen_at(port), epoll = epoll_create1(EPOLL_CLOEXEC);
  add(epoll, listener);
  std::vector<int> fds;
  epoll_event events[64];
  char text[4096];
  Gate gate(measure);
  while (!stop) {
    const bool counts = gate.open();
    const int count = epoll_wait(epoll, events, 64, 20);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        for (int made; (made = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
          fds.push_back(made);
          add(epoll, made);
        }
        continue;
      }
      const ssize_t got = recv(fd, text, sizeof text, 0);
      if (got > 0) {
        (void)send(fd, text, static_cast<size_t>(got), MSG_NOSIGNAL);
        if (counts) ++result.requests;
      } else if (got == 0 || errno != EAGAIN) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);
        close(fd);
        std::erase(fds, fd);
      }
    }
  }
  gate.finish(result);
  for (const int fd : fds) close(fd);
  close(listener);
  close(epoll);
  return result;
}

ServerResult kernel_send(uint16_t port, const std::atomic<bool>& measure, const std::atomic<bool>& stop) {
  ServerResult result;
  const int listener = listen_at(port);
  int fd = -1;
  while (fd < 0 && !stop) {
    fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) usleep(1000);
  }
  const timeval patience{0, 20'000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const std::vector<char> block(kBlockBytes, 'b');
  Gate gate(measure);
  while (!stop) {
    const bool counts = gate.open();
    const ssize_t sent = send(fd, block.data(), block.size(), MSG_NOSIGNAL);
    if (sent > 0 && counts) result.bytes += static_cast<uint64_t>(sent);
  }
  gate.finish(result);
  close(fd);
  close(listener);
  return result;
}

}  // namespace xnic::bench
