// SPDX-License-Identifier: Apache-2.0
// Everything happens in a thread with a network namespace of its own, which ends with it: no interface, program or
// socket outlives the measurement. The far end has an XDP program that drops, so what comes back costs little and is
// counted by the interface.
#include "datapath_veth.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "datapath_card.hpp"
#include "nic/port/af_xdp.hpp"

namespace xnic::bench {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr const char* kNear = "xnb0";  // the reflector's end
constexpr const char* kFar = "xnb1";   // the sender's

Result<void> shell(const std::string& command) {
  if (std::system((command + " > /dev/null 2>&1").c_str()) == 0) return {};
  return make_error(ErrorKind::kIo, "veth", "'{}' failed", command);
}

void nap_ms(long ms) {
  const timespec nap{ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&nap, nullptr);
}

// Frames that the far end has received.
uint64_t received() {
  std::ifstream in("/proc/thread-self/net/dev");
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find(std::string(kFar) + ":");
    if (at == std::string::npos) continue;
    std::istringstream words(line.substr(at + std::strlen(kFar) + 1));
    uint64_t bytes = 0, packets = 0;
    words >> bytes >> packets;
    return packets;
  }
  return 0;
}

void send_frames(int socket, const std::atomic<bool>& stop) {
  constexpr size_t kBatch = 64;
  uint8_t frame[kFrameBytes] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
  iovec vector{frame, sizeof frame};
  mmsghdr messages[kBatch] = {};
  for (mmsghdr& message : messages) {
    message.msg_hdr.msg_iov = &vector;
    message.msg_hdr.msg_iovlen = 1;
  }
  while (!stop.load(std::memory_order_relaxed)) sendmmsg(socket, messages, kBatch, 0);
}

Result<int> open_sender() {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(if_nametoindex(kFar));
  const int one = 1;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return make_error(ErrorKind::kIo, kFar, "no packet socket: {}", std::strerror(errno));
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
  return fd;
}

// The reflector lives as long as this does.
class Running {
 public:
  Running() = default;
  Running(const Running&) = delete;
  ~Running() {
    if (card_ != nullptr) card_->stop();
    for (const int link : links_) close(link);
    if (child_ <= 0) return;
    kill(child_, SIGTERM);
    for (int i = 0; i < 30 && waitpid(child_, nullptr, WNOHANG) != child_; ++i) nap_ms(100);
  }
  Result<void> start(const fs::path& programs, Reflector reflector, bool realtime) {
    if (reflector == Reflector::kCard) return start_card(programs);
    if (reflector == Reflector::kKernel)
      return shell("ip link set " + std::string(kNear) + " xdpdrv obj " + (programs / "tx.bpf.o").string() +
                   " sec xdp");
    return start_dpdk(realtime);
  }

 private:
  Result<void> start_card(const fs::path& programs) {
    nic::datapath::CardOptions options;
    options.cpus = {kCardCpu};
    options.spin_polls = UINT32_MAX;
    XNIC_ASSIGN(card_, nic::datapath::Card::create(device_, options));
    nic::port::Info info;
    info.name = kNear;
    info.ifindex = kInside;
    nic::port::AfXdpOptions af_xdp;
    af_xdp.interface = kNear;
    af_xdp.mode = nic::port::AfXdpOptions::Mode::kNative;
    XNIC_ASSIGN(auto port, nic::port::open_af_xdp(info, af_xdp, card_->memory(), clock_));
    XNIC_TRY(card_->add_port(std::move(port)));
    XNIC_ASSIGN(auto object, device::Object::load(device_, programs / "tx.bpf.o"));
    object_ = std::make_unique<device::Object>(std::move(object));
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.link_create.prog_fd = static_cast<uint32_t>(object_->programs().at(0).fd);
    attr.link_create.target_ifindex = kInside;
    attr.link_create.attach_type = BPF_XDP;
    const long link = device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr);
    if (link < 0) return make_error(ErrorKind::kIo, "attach", "{}", std::strerror(static_cast<int>(-link)));
    links_.push_back(static_cast<int>(link));
    card_->start();
    return {};
  }

  Result<void> start_dpdk(bool realtime) {
    if (!fs::exists(kTestpmd)) return make_error(ErrorKind::kUnsupported, "testpmd", "is not installed");
    std::string line = realtime ? "exec chrt -r 1 " : "exec ";
    line += kTestpmd.string() + " --lcores 0@" + std::to_string(kPeerCpu) + ",1@" + std::to_string(kCardCpu) +
            " --no-huge --no-shconf --no-pci -m 512 --no-telemetry --log-level=4 --file-prefix=xnic-bench-veth" +
            " --vdev=net_af_xdp0,iface=" + kNear +
            " -- --no-mlockall --total-num-mbufs=32768 --burst=64 --nb-cores=1 --port-topology=loop" +
            " --stats-period=1 --forward-mode=macswap > /dev/null 2>&1 < /dev/null";
    child_ = spawn(line);
    if (child_ < 0) return make_error(ErrorKind::kIo, "testpmd", "cannot be started");
    nap_ms(2500);
    return {};
  }

  base::SystemClock clock_;
  device::Device device_;
  std::unique_ptr<device::Object> object_;
  std::unique_ptr<nic::datapath::Card> card_;
  std::vector<int> links_;
  pid_t child_ = -1;
};

Result<std::vector<double>> measure(const fs::path& programs, Reflector reflector, int samples, bool realtime) {
  if (unshare(CLONE_NEWNET) != 0) return make_error(ErrorKind::kIo, "namespace", "{}", std::strerror(errno));
  XNIC_TRY(shell(std::string("ip link add ") + kNear + " type veth peer name " + kFar));
  for (const std::string end : {kNear, kFar}) {
    static_cast<void>(shell("sysctl -qw net.ipv6.conf." + end + ".disable_ipv6=1"));
    XNIC_TRY(shell("ip link set " + end + " up"));
  }
  XNIC_TRY(
      shell(std::string("ip link set ") + kFar + " xdpdrv obj " + (programs / "drop.bpf.o").string() + " sec xdp"));
  Running running;
  XNIC_TRY(running.start(programs, reflector, realtime));
  XNIC_ASSIGN(const int socket, open_sender());
  std::atomic<bool> stop{false};
  std::thread sender([&] {
    pin_thread(kPeerCpu);
    send_frames(socket, stop);
  });
  if (realtime) go_realtime(2);
  const base::SystemClock clock;
  std::vector<double> rates;
  for (int i = 0; i <= samples; ++i) {
    const uint64_t before = received(), from_ns = clock.monotonic_ns();
    nap_ms(300);
    const double seconds = static_cast<double>(clock.monotonic_ns() - from_ns) / 1e9;
    if (i > 0) rates.push_back(static_cast<double>(received() - before) / seconds / 1e6);
  }
  stop = true;
  sender.join();
  close(socket);
  if (realtime) go_realtime(1);
  if (rates.back() == 0) return make_error(ErrorKind::kIo, "veth", "nothing came back");
  return rates;
}

}  // namespace

Result<std::vector<double>> veth_mpps(const fs::path& programs, Reflector reflector, int samples, bool realtime) {
  Result<std::vector<double>> result = make_error(ErrorKind::kIo, "veth", "not measured");
  std::thread thread([&] { result = measure(programs, reflector, samples, realtime); });
  thread.join();
  return result;
}

}  // namespace xnic::bench
