// SPDX-License-Identifier: Apache-2.0
// The peer writes frames into the ring from a prepared set and counts what comes back, so that it costs less than the
// card does and the card is what is measured.
#include "datapath_card.hpp"

#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/bytes.hpp"
#include "nic/port/memory.hpp"
#include "report.hpp"
#include "wire/headers.hpp"

namespace xnic::bench {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nic::port::MemoryPeer;

namespace {

constexpr uint32_t kFlows = 256;
constexpr uint32_t kBurst = 32;
constexpr int kRoundTrips = 20'000;

// UDP frames of the flows, from the inside or their answers.
std::vector<std::array<uint8_t, kFrameBytes>> frames_of(bool inside) {
  std::vector<std::array<uint8_t, kFrameBytes>> frames(kFlows);
  for (uint32_t flow = 0; flow < kFlows; ++flow) {
    const base::MutableBytes bytes(frames[flow]);
    wire::Ethernet{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, wire::kEtherTypeIpv4}.emit(bytes);
    wire::Ipv4 ip;
    ip.total_bytes = kFrameBytes - 14;
    ip.protocol = wire::kUdp;
    ip.source = inside ? 0x0a000001 + flow : 0xc6336401;
    ip.destination = inside ? 0xc6336401 : 0x0a000001 + flow;
    ip.emit(bytes.subspan(14));
    wire::Udp udp;
    udp.source_port = static_cast<uint16_t>(inside ? 1000 + flow : 80);
    udp.destination_port = static_cast<uint16_t>(inside ? 80 : 1000 + flow);
    udp.length_bytes = kFrameBytes - 34;
    udp.emit(bytes.subspan(34), ip.pseudo_header_sum(kFrameBytes - 34));
  }
  return frames;
}

class Traffic {
 public:
  Traffic(MemoryPeer inside, MemoryPeer outside) : peers_{std::move(inside), std::move(outside)} {}
  void run(const std::atomic<bool>& stop) {
    while (!stop.load(std::memory_order_relaxed))
      for (int side = 0; side < 2; ++side) turn(side);
  }
  uint64_t received() const { return received_.load(std::memory_order_relaxed); }

 private:
  void turn(int side) {
    MemoryPeer& peer = peers_[side];
    const uint32_t count = std::min(peer.room(0, kBurst), kBurst);
    for (uint32_t i = 0; i < count; ++i) {
      std::memcpy(peer.next_buffer(0), frames_[side][next_++ % kFlows].data(), kFrameBytes);
      peer.put(0, kFrameBytes);
    }
    if (count != 0) peer.flush(0);
    const uint32_t back = peer.available(0, 1);
    if (back != 0) peer.release(0, back);
    received_.store(received() + back, std::memory_order_relaxed);
  }
  MemoryPeer peers_[2];
  std::vector<std::array<uint8_t, kFrameBytes>> frames_[2] = {frames_of(true), frames_of(false)};
  uint32_t next_ = 0;
  std::atomic<uint64_t> received_{0};
};

void sleep_ns(long ns) {
  const timespec nap{0, ns};
  nanosleep(&nap, nullptr);
}

}  // namespace

bool go_realtime(int priority) {
  sched_param parameter{};
  parameter.sched_priority = priority;
  return pthread_setschedparam(pthread_self(), SCHED_RR, &parameter) == 0;
}

void pin_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

MemoryCard::~MemoryCard() {
  if (card_ != nullptr) card_->stop();
  for (const int link : links_) close(link);
  card_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Result<std::unique_ptr<MemoryCard>> MemoryCard::start(const std::filesystem::path& program) {
  auto made = std::make_unique<MemoryCard>();
  char folder[] = "/tmp/xnic-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return make_error(ErrorKind::kIo, "/tmp", "cannot make a folder");
  made->folder_ = folder;
  nic::datapath::CardOptions options;
  options.cpus = {kCardCpu};
  options.spin_polls = UINT32_MAX;
  XNIC_ASSIGN(made->card_, nic::datapath::Card::create(made->device_, options));
  for (const uint32_t ifindex : {kInside, kOutside}) {
    nic::port::Info info;
    info.name = "port" + std::to_string(ifindex);
    info.ifindex = ifindex;
    info.lossless = true;
    nic::port::MemoryOptions memory;
    memory.path = made->path_of(ifindex);
    XNIC_ASSIGN(auto port, nic::port::open_memory(info, memory));
    XNIC_TRY(made->card_->add_port(std::move(port)));
  }
  device::LoadOptions load;
  load.set_global_data = [](const device::GlobalData& data) -> Result<void> {
    // The firewall's only constant: interior_ifindex.
    if (data.name == ".rodata" && data.value.size() >= 4) base::store(data.value.data(), kInside);
    return {};
  };
  XNIC_ASSIGN(auto object, device::Object::load(made->device_, program, load));
  made->object_ = std::make_unique<device::Object>(std::move(object));
  for (const uint32_t ifindex : {kInside, kOutside}) XNIC_TRY(made->attach(ifindex));
  if (made->object_->find_map("tx_port") != nullptr) {
    XNIC_TRY(made->set_target(0, kOutside));
    XNIC_TRY(made->set_target(1, kInside));
  }
  made->card_->start();
  return made;
}

Result<void> MemoryCard::attach(uint32_t ifindex) {
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.link_create.prog_fd = static_cast<uint32_t>(object_->programs().at(0).fd);
  attr.link_create.target_ifindex = ifindex;
  attr.link_create.attach_type = BPF_XDP;
  const long link = device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr);
  if (link >= 0) {
    links_.push_back(static_cast<int>(link));
    return {};
  }
  const auto why = card_->attach_error(ifindex);
  return make_error(ErrorKind::kIo, "attach", "{}", why ? why->message() : std::strerror(static_cast<int>(-link)));
}

Result<void> MemoryCard::set_target(uint32_t key, uint32_t ifindex) {
  const uint32_t value[2] = {ifindex, 0};
  if (object_->find_map("tx_port")->map->host_update(&key, value, 0) != 0)
    return make_error(ErrorKind::kIo, "tx_port", "cannot be set");
  return {};
}

Result<MemoryPeer> MemoryCard::peer(uint32_t ifindex) const { return MemoryPeer::attach(path_of(ifindex)); }

Result<std::vector<double>> forwarding_mpps(const std::filesystem::path& firewall, int samples) {
  XNIC_ASSIGN(const auto card, MemoryCard::start(firewall));
  XNIC_ASSIGN(MemoryPeer inside, card->peer(kInside));
  XNIC_ASSIGN(MemoryPeer outside, card->peer(kOutside));
  Traffic traffic(std::move(inside), std::move(outside));
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    pin_thread(kPeerCpu);
    traffic.run(stop);
  });
  go_realtime(2);  // this thread sleeps, and shall wake in time
  const base::SystemClock clock;
  std::vector<double> rates;
  for (int i = 0; i <= samples; ++i) {
    const uint64_t before = traffic.received(), from_ns = clock.monotonic_ns();
    sleep_ns(300'000'000);
    const double seconds = static_cast<double>(clock.monotonic_ns() - from_ns) / 1e9;
    if (i > 0) rates.push_back(static_cast<double>(traffic.received() - before) / seconds / 1e6);
  }
  stop = true;
  thread.join();
  go_realtime(1);
  // Each packet that was lost would make the rate one of drops.
  card->card().stop();
  const nic::datapath::Totals totals = card->card().totals();
  if (totals.drop(nic::datapath::Drop::kStalled) != 0 || totals.drop(nic::datapath::Drop::kTransmitFull) != 0)
    return make_error(ErrorKind::kIo, "memory ports", "a lossless port lost packets");
  return rates;
}

Result<std::vector<double>> round_trip_ns(const std::filesystem::path& tx, int samples) {
  XNIC_ASSIGN(const auto card, MemoryCard::start(tx));
  XNIC_ASSIGN(MemoryPeer peer, card->peer(kInside));
  const auto frames = frames_of(true);
  const base::SystemClock clock;
  std::vector<double> medians;
  std::thread thread([&] {
    pin_thread(kPeerCpu);
    for (int sample = 0; sample <= samples; ++sample) {
      std::vector<double> times;
      for (int i = 0; i < kRoundTrips; ++i) {
        const uint64_t from_ns = clock.monotonic_ns();
        std::memcpy(peer.next_buffer(0), frames[0].data(), kFrameBytes);
        peer.put(0, kFrameBytes);
        peer.flush(0);
        while (peer.available(0, 1) == 0) __builtin_ia32_pause();
        std::array<uint8_t, kFrameBytes> copy;
        std::memcpy(copy.data(), peer.frame(0, 0).data(), kFrameBytes);
        peer.release(0, 1);
        times.push_back(static_cast<double>(clock.monotonic_ns() - from_ns));
      }
      if (sample > 0) medians.push_back(median(times));
    }
  });
  thread.join();
  return medians;
}

std::vector<double> ping_pong_ns(int samples) {
  struct alignas(64) Line {
    std::atomic<uint32_t> turn{0};
  };
  struct alignas(64) Frame {
    uint8_t bytes[kFrameBytes];
  };
  Line there, back;
  Frame there_frame{}, back_frame{};
  std::atomic<bool> stop{false};
  std::thread echo([&] {
    pin_thread(kCardCpu);
    for (uint32_t turn = 1; !stop.load(std::memory_order_relaxed); ++turn) {
      while (there.turn.load(std::memory_order_acquire) != turn)
        if (stop.load(std::memory_order_relaxed)) return;
      std::memcpy(back_frame.bytes, there_frame.bytes, kFrameBytes);
      back.turn.store(turn, std::memory_order_release);
    }
  });
  std::vector<double> medians;
  std::thread caller([&] {
    pin_thread(kPeerCpu);
    const base::SystemClock clock;
    uint32_t turn = 0;
    Frame frame{};
    for (int sample = 0; sample <= samples; ++sample) {
      std::vector<double> times;
      for (int i = 0; i < kRoundTrips; ++i) {
        const uint64_t from_ns = clock.monotonic_ns();
        frame.bytes[0] = static_cast<uint8_t>(i);
        std::memcpy(there_frame.bytes, frame.bytes, kFrameBytes);
        there.turn.store(++turn, std::memory_order_release);
        while (back.turn.load(std::memory_order_acquire) != turn) __builtin_ia32_pause();
        std::memcpy(frame.bytes, back_frame.bytes, kFrameBytes);
        times.push_back(static_cast<double>(clock.monotonic_ns() - from_ns));
      }
      if (sample > 0) medians.push_back(median(times));
    }
  });
  caller.join();
  stop = true;
  echo.join();
  return medians;
}

}  // namespace xnic::bench
