// SPDX-License-Identifier: Apache-2.0
// The datapath beside its peers. usage: bench_datapath CASES_DIR PROGRAMS_DIR OUT.json
//
// The card's worker has one processor, whoever it exchanges frames with the other. All measuring threads and processes
// run with realtime priority where that is allowed, so that what else the machine does hardly counts; the state says
// so. Ours and the peer's are measured in turn, twice, and the medians are of all samples.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "datapath_card.hpp"
#include "datapath_dpdk.hpp"
#include "datapath_veth.hpp"
#include "device/native_images.hpp"
#include "report.hpp"

namespace xnic::bench {
namespace {

namespace fs = std::filesystem;
using base::Result;
using nlohmann::ordered_json;

constexpr int kSamples = 5;
constexpr int kRounds = 2;

void append(std::vector<double>& to, const std::vector<double>& more) { to.insert(to.end(), more.begin(), more.end()); }

class Bench {
 public:
  explicit Bench(fs::path programs)
      : programs_(std::move(programs)),
        realtime_(go_realtime(1)),
        state_(machine_state() + (realtime_ ? ", realtime" : ", not realtime")),
        report_({{"what", 44},
                 {"value", 9, 2},
                 {"unit", 4},
                 {"peer", 26},
                 {"peer_value", 10, 2},
                 {"ratio", 6, 2, "x"},
                 {"reach", 6, 2},
                 {"holds", 5},
                 {"note", 20}}) {}
  Result<void> run() {
    report_.print_head();
    XNIC_TRY(forwarding());
    XNIC_TRY(round_trip());
    veth();
    return {};
  }
  const Report& report() const { return report_; }

 private:
  // More is better.
  Result<void> forwarding() {
    std::vector<double> ours, peers;
    std::string note;
    for (int round = 0; round < kRounds; ++round) {
      XNIC_ASSIGN(const auto mine, forwarding_mpps(programs_ / "simple_firewall.bpf.o", kSamples));
      append(ours, mine);
      const auto theirs = memif_mpps(kSamples, realtime_);
      if (theirs)
        append(peers, *theirs);
      else
        note = theirs.error().message();
    }
    ordered_json row = {{"what", "memory port to memory port, 64 B, firewall"},
                        {"value", median(ours)},
                        {"unit", "Mpps"},
                        {"peer", "DPDK memif, testpmd io"}};
    judge(row, peers.empty() ? std::nullopt : std::optional(median(peers)), 1.3, false, note);
    return {};
  }

  // More is better. Whoever cannot be measured says why in the row.
  void veth() {
    constexpr Reflector kAll[] = {Reflector::kCard, Reflector::kKernel, Reflector::kDpdk};
    std::vector<double> rates[3];
    std::string notes[3];
    for (int round = 0; round < kRounds; ++round) {
      for (size_t i = 0; i < 3; ++i) {
        const auto one = veth_mpps(programs_, kAll[i], kSamples, realtime_);
        if (one)
          append(rates[i], *one);
        else
          notes[i] = one.error().message();
      }
    }
    for (size_t peer = 1; peer < 3; ++peer) {
      ordered_json row = {{"what", "veth to veth through af_xdp, 64 B, tx"},
                          {"value", rates[0].empty() ? ordered_json() : ordered_json(median(rates[0]))},
                          {"unit", "Mpps"},
                          {"peer", peer == 1 ? "kernel native XDP_TX" : "DPDK net_af_xdp, macswap"}};
      judge(row, rates[peer].empty() ? std::nullopt : std::optional(median(rates[peer])), peer == 1 ? 0.9 : 1.2, false,
            notes[0].empty() ? notes[peer] : notes[0]);
    }
  }

  // Less is better.
  Result<void> round_trip() {
    std::vector<double> ours, peers;
    for (int round = 0; round < kRounds; ++round) {
      XNIC_ASSIGN(const auto mine, round_trip_ns(programs_ / "tx.bpf.o", kSamples));
      append(ours, mine);
      append(peers, ping_pong_ns(kSamples));
    }
    ordered_json row = {{"what", "round trip through a memory port, 64 B, tx"},
                        {"value", median(ours)},
                        {"unit", "ns"},
                        {"peer", "shared-memory ping-pong"}};
    judge(row, median(peers), 1.5, true, "");
    return {};
  }

  void judge(ordered_json row, std::optional<double> peer, double reach, bool at_most, const std::string& note) {
    row["peer_value"] = peer ? ordered_json(*peer) : ordered_json();
    row["reach"] = reach;
    row["holds"] = nullptr;
    if (peer && row["value"].is_number()) {
      const double value = row["value"];
      row["ratio"] = value / *peer;
      row["holds"] = at_most ? value <= reach * *peer : value >= reach * *peer;
    }
    row["note"] = note;
    row["state"] = state_;
    report_.add(std::move(row));
  }

  fs::path programs_;
  bool realtime_;
  std::string state_;
  Report report_;
};

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_datapath CASES_DIR PROGRAMS_DIR OUT.json\n");
    return 2;
  }
  xnic::device::install_native();
  xnic::bench::Bench bench(argv[2]);
  if (auto done = bench.run(); !done) {
    std::fprintf(stderr, "bench_datapath: %s\n", done.error().message().c_str());
    return 1;
  }
  if (auto written = bench.report().write(argv[3]); !written) {
    std::fprintf(stderr, "bench_datapath: %s\n", written.error().message().c_str());
    return 1;
  }
  return 0;
}
