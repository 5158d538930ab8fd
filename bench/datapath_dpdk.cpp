// SPDX-License-Identifier: Apache-2.0
// Two processes: the forwarder on the card's processor, the traffic (forward mode flowgen: 64-byte frames of many flows
// out, what comes back freed) on the peer's. memif copies each frame into and out of the shared memory, as our memory
// ports do. The figures are what the forwarder prints once a second.
#include "datapath_dpdk.hpp"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "datapath_card.hpp"

extern char** environ;

namespace xnic::bench {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::make_error;
using base::Result;

pid_t spawn(const std::string& command) {
  const char* words[] = {"sh", "-c", command.c_str(), nullptr};
  pid_t pid = -1;
  return posix_spawn(&pid, "/bin/sh", nullptr, nullptr, const_cast<char**>(words), environ) == 0 ? pid : -1;
}

namespace {

// `cpu`: where its forwarding thread runs. `mode`: of forwarding, and further options. `ports`: 1 or 2.
std::string command(const fs::path& folder, const std::string& name, const std::string& role, const std::string& mode,
                    int cpu, bool realtime, int ports = 2) {
  const std::string socket = ",socket=" + (folder / "memif").string() + ",socket-abstract=no";
  std::string line = "exec ";
  if (realtime) line += "chrt -r 1 ";
  line += kTestpmd.string() + " --lcores 0@" + std::to_string(1 - cpu) + ",1@" + std::to_string(cpu);
  line += " --no-huge --no-shconf --no-pci -m 512 --no-telemetry --log-level=4 --file-prefix=xnic-bench-" + name;
  for (int id = 0; id < ports; ++id)
    line += " --vdev=net_memif" + std::to_string(id) + ",role=" + role + ",id=" + std::to_string(id) + socket;
  line += " -- --no-mlockall --total-num-mbufs=32768 --burst=64 --nb-cores=1 --stats-period=1 --forward-mode=" + mode;
  return line + " > " + (folder / name).string() + " 2>&1 < /dev/null";
}

void stop(pid_t pid) {
  if (pid <= 0) return;
  kill(pid, SIGTERM);
  for (int i = 0; i < 30; ++i) {
    if (waitpid(pid, nullptr, WNOHANG) == pid) return;
    const timespec nap{0, 100'000'000};
    nanosleep(&nap, nullptr);
  }
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

// The received packets a second of all ports together, one sum a report.
std::vector<double> read_rates(const fs::path& log, int ports_reported = 2) {
  std::vector<double> rates;
  std::ifstream in(log);
  int ports = 0;
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find("Rx-pps:");
    if (at == std::string::npos) continue;
    const double rate = std::strtod(line.c_str() + at + std::strlen("Rx-pps:"), nullptr) / 1e6;
    if (ports++ % ports_reported == 0)
      rates.push_back(rate);
    else
      rates.back() += rate;
  }
  if (ports % ports_reported != 0) rates.pop_back();
  return rates;
}

// `reader` prints the figures; `writer` is what it gets frames from.
Result<std::vector<double>> measure(const fs::path& folder, const std::string& reader, const std::string& writer,
                                    int samples, int ports) {
  const pid_t reading = spawn(reader);
  sleep(2);
  const pid_t writing = spawn(writer);
  sleep(static_cast<unsigned>(samples) + 4);
  stop(writing);
  stop(reading);
  std::vector<double> rates = read_rates(folder / "reader", ports);
  std::erase_if(rates, [](double rate) { return rate < 0.001; });  // before the traffic was there
  std::string said;
  if (std::ifstream in(folder / "reader"); rates.size() < 3) std::getline(in, said, '\0');
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  if (rates.size() < 3) return make_error(ErrorKind::kIo, "testpmd", "no figures: {}", said.substr(0, 400));
  rates.erase(rates.begin());  // the second in which the traffic began
  rates.pop_back();            // and ended
  return rates;
}

Result<fs::path> make_folder() {
  if (!fs::exists(kTestpmd)) return make_error(ErrorKind::kUnsupported, "testpmd", "is not installed");
  char name[] = "/tmp/xnic-bench-XXXXXX";
  if (mkdtemp(name) == nullptr) return make_error(ErrorKind::kIo, "/tmp", "cannot make a folder");
  return fs::path(name);
}

}  // namespace

Result<std::vector<double>> memif_mpps(int samples, bool realtime) {
  XNIC_ASSIGN(const fs::path folder, make_folder());
  return measure(folder, command(folder, "reader", "server", "io", kCardCpu, realtime),
                 command(folder, "traffic", "client", "flowgen", kPeerCpu, realtime), samples, 2);
}

Result<std::vector<double>> memif_one_way_mpps(uint32_t bytes, int samples) {
  XNIC_ASSIGN(const fs::path folder, make_folder());
  return measure(folder, command(folder, "reader", "server", "rxonly", kCardCpu, false, 1),
                 command(folder, "traffic", "client", "txonly --txpkts=" + std::to_string(bytes), kPeerCpu, false, 1),
                 samples, 1);
}

}  // namespace xnic::bench
