// SPDX-License-Identifier: Apache-2.0
// ef_vi on the card, between two processes on two processors: round trips beside a cache line that goes to and fro (the
// least that two processors can do), one-way rates beside DPDK's memif. The line is measured before and after each row:
// virtual machines change their state within seconds, and rows of different states say nothing about each other.
// usage: bench_efvi CASES PROGRAMS OUT.json    (the first two as other benchmarks have them; not used)
#include <etherfabric/memreg.h>
#include <etherfabric/pd.h>
#include <etherfabric/vi.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "datapath_dpdk.hpp"
#include "nic/vi/service/card_service.hpp"
#include "report.hpp"

namespace {

using namespace xnic;
using Json = nlohmann::ordered_json;

constexpr uint32_t kBufferBytes = 2048;
constexpr int kRounds = 100'000, kWarmUp = 10'000;
constexpr double kOneWaySeconds = 1.0;

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

double median_of(std::vector<uint64_t>& times) {
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  return static_cast<double>(times[times.size() / 2]);
}

// Runs `peer` in another process on processor 1, `here` in this one on processor 0.
template <class Peer, class Here>
void beside(Peer peer, Here here) {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    bench::pin_to_cpu(1);
    peer();
    _exit(0);
  }
  bench::pin_to_cpu(0);
  here();
  waitpid(child, nullptr, 0);
}

// One word that both processes write in turn.
double line_round_trip_ns() {
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& word = *new (memory) std::atomic<uint32_t>(0);
  std::vector<uint64_t> times;
  beside(
      [&] {
        for (uint32_t i = 1; i <= kRounds; ++i) {
          while (word.load(std::memory_order_acquire) != 2 * i - 1) {
          }
          word.store(2 * i, std::memory_order_release);
        }
      },
      [&] {
        for (uint32_t i = 1; i <= kRounds; ++i) {
          const uint64_t begin = now_ns();
          word.store(2 * i - 1, std::memory_order_release);
          while (word.load(std::memory_order_acquire) != 2 * i) {
          }
          times.push_back(now_ns() - begin);
        }
      });
  munmap(memory, 4096);
  return median_of(times);
}

// A virtual interface with 256 receive buffers and one to send from.
class Endpoint {
 public:
  static constexpr uint32_t kBuffers = 256;
  Endpoint(const char* port, uint64_t flags, uint32_t bytes) : bytes_(bytes) {
    ef_pd* const pd = new ef_pd;  // as long as the process
    CHECK(ef_driver_open(&handle_) == 0);
    CHECK(ef_pd_alloc_by_name(pd, handle_, port, EF_PD_DEFAULT) == 0);
    CHECK(ef_vi_alloc_from_pd(&vi, handle_, pd, handle_, -1, -1, -1, nullptr, -1,
                              static_cast<enum ef_vi_flags>(flags)) >= 0);
    const size_t size = (kBuffers + 1) * kBufferBytes;
    memory_ = static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(ef_memreg_alloc(&registered_, handle_, pd, handle_, memory_, size) == 0);
    for (uint32_t i = 0; i < kBuffers; ++i) CHECK(ef_vi_receive_post(&vi, address(i), static_cast<int>(i)) == 0);
    uint8_t* const frame = memory_ + kBuffers * kBufferBytes;
    static constexpr uint8_t kHead[42] = {2, 0,  0,  0, 0, 2,  2, 0, 0, 0,  0, 1, 8, 0, 0x45, 0, 0, 0, 0, 0, 0,
                                          0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 7, 0,    7, 0, 0, 0, 0, 0};
    std::memcpy(frame, kHead, sizeof kHead);
    const uint32_t ip = bytes - 14, udp = bytes - 34;
    frame[16] = static_cast<uint8_t>(ip >> 8), frame[17] = static_cast<uint8_t>(ip);
    frame[38] = static_cast<uint8_t>(udp >> 8), frame[39] = static_cast<uint8_t>(udp);
    uint32_t sum = 0;  // CTPIO fills in nothing
    for (int i = 14; i < 34; i += 2) sum += static_cast<uint32_t>(frame[i] << 8 | frame[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    frame[24] = static_cast<uint8_t>(~sum >> 8), frame[25] = static_cast<uint8_t>(~sum);
    ef_filter_spec spec;
    ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
    CHECK(ef_filter_spec_set_unicast_all(&spec) == 0 && ef_vi_filter_add(&vi, handle_, &spec, nullptr) == 0);
  }
  void send() {
    if ((vi.vi_flags & EF_VI_TX_CTPIO) != 0) {
      ef_vi_transmit_ctpio(&vi, memory_ + kBuffers * kBufferBytes, bytes_, 64);
      while (ef_vi_transmit_ctpio_fallback(&vi, address(kBuffers), bytes_, 1) == -EAGAIN) poll();
    } else {
      while (ef_vi_transmit(&vi, address(kBuffers), static_cast<int>(bytes_), 1) == -EAGAIN) poll();
    }
  }
  // How many frames came.
  uint32_t poll() {
    ef_event events[16];
    const int count = ef_eventq_poll(&vi, events, 16);
    uint32_t received = 0;
    for (int i = 0; i < count; ++i) {
      if (EF_EVENT_TYPE(events[i]) == EF_EVENT_TYPE_RX) {
        const uint32_t buffer = EF_EVENT_RX_RQ_ID(events[i]);
        (void)ef_vi_receive_init(&vi, address(buffer), static_cast<int>(buffer));
        ++received;
      } else {
        ef_request_id ids[EF_VI_TRANSMIT_BATCH];
        ef_vi_transmit_unbundle(&vi, &events[i], ids);
      }
    }
    if (received != 0) ef_vi_receive_push(&vi);
    return received;
  }
  ef_vi vi{};

 private:
  ef_addr address(uint32_t buffer) { return ef_memreg_dma_addr(&registered_, buffer * size_t{kBufferBytes}); }
  const uint32_t bytes_;
  ef_driver_handle handle_ = -1;
  ef_memreg registered_{};
  uint8_t* memory_ = nullptr;
};

// Whoever waits for a frame looks at its events and nothing else.
double round_trip_ns(uint64_t flags, uint32_t bytes) {
  std::vector<uint64_t> times;
  const auto wait = [](Endpoint& endpoint) {
    while (endpoint.poll() == 0) {
    }
  };
  int ready[2];
  CHECK(pipe(ready) == 0);
  beside(
      [&] {
        Endpoint pong("right", flags, bytes);
        CHECK(write(ready[1], "x", 1) == 1);
        for (int i = 0; i < kRounds + kWarmUp; ++i) {
          wait(pong);
          pong.send();
        }
        // The last frame is still to be taken; the interface goes with the process.
        usleep(100'000);
      },
      [&] {
        Endpoint ping("left", flags, bytes);
        char byte;
        CHECK(read(ready[0], &byte, 1) == 1);
        for (int i = 0; i < kRounds + kWarmUp; ++i) {
          const uint64_t begin = now_ns();
          ping.send();
          wait(ping);
          if (i >= kWarmUp) times.push_back(now_ns() - begin);
        }
        CHECK(ef_vi_free(&ping.vi, ping.vi.dh) == 0 && ef_driver_close(ping.vi.dh) == 0);
      });
  for (const int fd : ready) close(fd);
  return median_of(times);
}

// Frames that arrive in a second when the sender does not pace itself; what finds no buffer does not count.
double one_way_mpps(uint64_t flags, uint32_t bytes) {
  double mpps = 0;
  int ready[2];
  CHECK(pipe(ready) == 0);
  beside(
      [&] {
        Endpoint sender("right", flags, bytes);
        CHECK(write(ready[1], "x", 1) == 1);
        const uint64_t end = now_ns() + static_cast<uint64_t>((kOneWaySeconds + 1) * 1e9);
        while (now_ns() < end)
          for (int i = 0; i < 64; ++i) sender.send();
      },
      [&] {
        Endpoint receiver("left", EF_VI_FLAGS_DEFAULT, bytes);
        char byte;
        CHECK(read(ready[0], &byte, 1) == 1);
        usleep(200'000);
        while (receiver.poll() != 0) {
        }
        uint64_t got = 0;
        const uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(kOneWaySeconds * 1e9);
        while (now_ns() < end)
          for (int i = 0; i < 64; ++i) got += receiver.poll();
        mpps = static_cast<double>(got) * 1e3 / static_cast<double>(now_ns() - begin);
        CHECK(ef_vi_free(&receiver.vi, receiver.vi.dh) == 0 && ef_driver_close(receiver.vi.dh) == 0);
      });
  for (const int fd : ready) close(fd);
  return mpps;
}

std::string state_of(double before, double after) {
  return fmt::format("line {:.0f} and {:.0f} ns; {}", before, after, bench::machine_state());
}

constexpr uint64_t kNoChecksums = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS;

void round_trips(bench::Report& report) {
  struct Case {
    const char* what;
    uint64_t flags;
    uint32_t bytes;
    double reach;  // times the line; 0: no target
  };
  for (const Case& one : {Case{"VI to VI, 64 B ping-pong, CTPIO", EF_VI_TX_CTPIO, 64, 2.2},
                          Case{"VI to VI, 64 B ping-pong, DMA", EF_VI_FLAGS_DEFAULT, 64, 2.2},
                          Case{"VI to VI, 1514 B ping-pong, CTPIO", EF_VI_TX_CTPIO, 1514, 0}}) {
    const double before = line_round_trip_ns();
    const double value = round_trip_ns(one.flags, one.bytes);
    const double after = line_round_trip_ns();
    const double line = (before + after) / 2;
    Json row = {{"what", one.what}, {"value", value}, {"unit", "ns"}, {"peer", "cache line"}, {"peer_value", line}};
    row["ratio"] = value / line;
    row["reach"] = one.reach == 0 ? Json() : Json(fmt::format("<= {}", one.reach));
    row["holds"] = one.reach == 0 ? Json() : Json(value / line <= one.reach);
    row["state"] = state_of(before, after);
    report.add(row);
  }
}

void one_ways(bench::Report& report) {
  struct Case {
    const char* what;
    uint32_t bytes;
    double reach;
  };
  for (const Case& one : {Case{"one way, 64 B", 64, 1.5}, Case{"one way, 1514 B", 1514, 1.0}}) {
    const double before = line_round_trip_ns();
    const double value = one_way_mpps(kNoChecksums, one.bytes);
    const auto peer = bench::memif_one_way_mpps(one.bytes, 4);
    const double after = line_round_trip_ns();
    Json row = {{"what", one.what}, {"value", value}, {"unit", "Mpps"}, {"peer", "DPDK memif"}};
    if (peer) {
      const double other = bench::median(*peer);
      row["peer_value"] = other;
      row["ratio"] = value / other;
      row["holds"] = value / other >= one.reach;
    } else {
      fmt::print("DPDK memif: {}\n", peer.error().message());
    }
    row["reach"] = fmt::format(">= {}", one.reach);
    row["state"] = state_of(before, after);
    report.add(row);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "usage: {} CASES PROGRAMS OUT.json\n", argv[0]);
    return 2;
  }
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
    fmt::print(stderr, "two processors are needed\n");
    return 2;
  }
  nic::vi::CardOptions options;
  options.socket = "/tmp/xnic-bench-efvi-" + std::to_string(getpid()) + ".sock";
  for (const auto& [name, peer] : {std::pair{"left", "right"}, std::pair{"right", "left"}}) {
    nic::vi::PortOptions port;
    port.name = name;
    port.peer = peer;
    options.ports.push_back(port);
  }
  auto service = nic::vi::CardService::start(options);
  if (!service) {
    fmt::print(stderr, "{}\n", service.error().message());
    return 1;
  }
  setenv("XNIC_CARD", options.socket.c_str(), 1);
  bench::Report report({{"what", 36},
                        {"value", 9, 2},
                        {"unit", 5},
                        {"peer", 11},
                        {"peer_value", 10, 2},
                        {"ratio", 6, 2, "x"},
                        {"reach", 7},
                        {"holds", 6}});
  report.print_head();
  round_trips(report);
  one_ways(report);
  if (auto written = report.write(argv[3]); !written) {
    fmt::print(stderr, "{}\n", written.error().message());
    return 1;
  }
  return 0;
}
