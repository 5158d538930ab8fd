// SPDX-License-Identifier: Apache-2.0
// A worker's thread: spins while there is work and some polls more, then sleeps in poll(2) on its bell and its ports.
//
// No wake-up is lost. Whoever gives work (a ring's producer, a port's other side, a caller) first makes the work
// visible, then looks whether the worker sleeps; the worker first says that it sleeps, then looks for work. With a full
// fence between the two on each side, one of them sees the other. A bell stays rung until the worker has read it.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.hpp"
#include "nic/datapath/worker.hpp"

namespace xnic::nic::datapath {

namespace {
constexpr int kSleepMs = 100;  // at most, so that timers of programs are looked at
}

Bell::Bell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK(fd_ >= 0); }
Bell::~Bell() { close(fd_); }
void Bell::ring() const {
  const uint64_t one = 1;
  // Fails only when the counter is full: then it is rung already.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}
void Bell::clear() const {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(fd_, &count, sizeof count);
}

bool Worker::start(int cpu) {
  {
    std::lock_guard lock(mutex_);
    CHECK(!running_);
    running_ = true;
    stopping_.store(false);
  }
  thread_ = std::thread([this] { loop(); });
  pthread_setname_np(thread_.native_handle(), ("worker" + std::to_string(index_)).c_str());
  if (cpu < 0) return true;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  return pthread_setaffinity_np(thread_.native_handle(), sizeof set, &set) == 0;
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  fabric_.bells[index_]->ring();
  thread_.join();
}

void Worker::call(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  if (!running_) {
    work();
    return;
  }
  call_ = &work;
  called_.store(true, std::memory_order_release);
  fabric_.bells[index_]->ring();
  done_.wait(lock, [&] { return call_ == nullptr; });
}

void Worker::run_call() {
  std::lock_guard lock(mutex_);
  finish_call();
}

// Pre: mutex_ is held.
void Worker::finish_call() {
  if (call_ != nullptr) (*call_)();
  call_ = nullptr;
  called_.store(false, std::memory_order_relaxed);
  done_.notify_one();
}

void Worker::loop() {
  uint32_t empty_polls = 0;
  while (!stopping_.load(std::memory_order_acquire)) {
    if (poll_once() != 0) {
      empty_polls = 0;
    } else if (++empty_polls >= fabric_.spin_polls) {
      idle();
    }
  }
  std::lock_guard lock(mutex_);
  finish_call();  // nobody shall wait for a thread that has ended
  running_ = false;
}

void Worker::idle() {
  config_ = fabric_.config.load(std::memory_order_acquire);
  for (const PortView& port : config_->ports)
    if (port.program != nullptr) port.program->workers[index_]->engine()->run_timers(context_);
  bool can_sleep = held_ == 0;  // nobody says when a full queue has room again
  for (const Config::Queue& queue : config_->receive[index_]) {
    queue.port->state->port->reap(queue.queue, pool_);
    can_sleep &= queue.port->state->port->wait_fd(queue.queue) >= 0;
  }
  if (can_sleep)
    sleep();
  else
    sched_yield();
}

// False: there is work.
bool Worker::prepare_sleep() {
  poll_fds_.clear();
  poll_fds_.push_back({fabric_.bells[index_]->fd(), POLLIN, 0});
  bool quiet = true;
  for (const Config::Queue& queue : config_->receive[index_]) {
    port::Port& port = *queue.port->state->port;
    quiet &= port.prepare_sleep(queue.queue);
    poll_fds_.push_back({port.wait_fd(queue.queue), POLLIN, 0});
  }
  for (size_t what = 0; what < kClasses; ++what)
    for (uint32_t from = 0; from < fabric_.workers; ++from)
      if (from != index_) quiet &= fabric_.ring(static_cast<Class>(what), from, index_).prepare_sleep();
  return quiet;
}

void Worker::wake_up() {
  for (const Config::Queue& queue : config_->receive[index_]) queue.port->state->port->woken(queue.queue);
  for (size_t what = 0; what < kClasses; ++what)
    for (uint32_t from = 0; from < fabric_.workers; ++from)
      if (from != index_) fabric_.ring(static_cast<Class>(what), from, index_).woken();
}

// Calls and stopping ring the bell after they are set, so they end the poll whenever they come.
void Worker::sleep() {
  if (prepare_sleep()) poll(poll_fds_.data(), poll_fds_.size(), kSleepMs);
  if ((poll_fds_[0].revents & POLLIN) != 0) fabric_.bells[index_]->clear();
  wake_up();
}

}  // namespace xnic::nic::datapath
