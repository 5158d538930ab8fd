// SPDX-License-Identifier: Apache-2.0
// `xnic-changepoint recv`: checks every decision of the card against fixed point and against double precision.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "changepoint/command.hpp"
#include "changepoint/live.hpp"
#include "nic/port/pcap.hpp"

namespace xnic::apps::changepoint {
namespace {

using base::ErrorKind;
using base::make_error;

struct Tally {
  uint64_t frames = 0;     // all that came
  uint64_t foreign = 0;    // of them none of ours
  uint64_t undecided = 0;  // tag neither split nor no split
  uint64_t decisions = 0;
  uint64_t splits = 0;
  uint64_t wrong = 0;  // other than fixed point says
  uint64_t agree = 0;  // with double precision
  uint64_t false_splits = 0;
  uint64_t missed_splits = 0;
  uint64_t duplicates = 0;
  uint64_t lost = 0;
};

class Checker {
 public:
  Checker(const RecvOptions& options, std::vector<double> sent) : options_(options), sent_(std::move(sent)) {}
  base::Result<void> open_csv() {
    if (options_.csv.empty()) return {};
    csv_.open(options_.csv);
    csv_ << "number,tag,fixed,double\n";
    return written();
  }
  base::Result<void> take(base::Bytes frame) {
    ++tally_.frames;
    const auto windows = parse_frame(options_.form, frame);
    if (!windows) {
      ++tally_.foreign;
      return {};
    }
    count_ = std::max(count_, windows->count);
    if (windows->number >= count_ || count_ > kMost)
      return make_error(ErrorKind::kBadInput, fmt::format("frame {}", tally_.frames),
                        "decision {} of {}: this is no packet of `send`", windows->number, count_);
    if (seen_.size() < count_) seen_.resize(count_);
    if (seen_[windows->number]) {
      ++tally_.duplicates;
      return {};
    }
    seen_[windows->number] = true;
    return check(*windows);
  }
  base::Result<Tally> finish() {
    tally_.lost = static_cast<uint64_t>(std::count(seen_.begin(), seen_.end(), false));
    csv_.flush();
    XNIC_TRY(written());
    return tally_;
  }

 private:
  static constexpr uint64_t kMost = 1u << 28;  // numbers remembered

  base::Result<void> check(const Windows& windows) {
    std::vector<uint64_t> units;
    for (double sample : windows.samples) units.push_back(to_fixed(sample, kDeployed.scale));
    const std::span<const uint64_t> fixed(units);
    const bool wanted = splits_fixed(fixed.first(kWindow), fixed.subspan(kWindow), kDeployed);
    std::span<const double> samples(windows.samples);
    if (!sent_.empty()) samples = std::span(sent_).subspan(windows.number % (sent_.size() - kSamples + 1), kSamples);
    const bool exact = splits(samples.first(kWindow), samples.subspan(kWindow), kEpsilon);
    const bool split = windows.tag == static_cast<uint64_t>(Tag::kSplit);
    const bool decided = split || windows.tag == static_cast<uint64_t>(Tag::kNoSplit);
    tally_.undecided += !decided;
    if (decided) {
      ++tally_.decisions;
      tally_.splits += split;
      tally_.wrong += split != wanted;
      tally_.agree += split == exact;
      tally_.false_splits += split && !exact;
      tally_.missed_splits += !split && exact;
    }
    if (csv_.is_open()) csv_ << windows.number << ',' << windows.tag << ',' << 2 - wanted << ',' << 2 - exact << '\n';
    return written();
  }
  base::Result<void> written() {
    if (options_.csv.empty() || csv_) return {};
    return make_error(ErrorKind::kIo, options_.csv, "cannot be written");
  }

  const RecvOptions& options_;
  std::vector<double> sent_;
  std::ofstream csv_;
  std::vector<bool> seen_;
  uint64_t count_ = 0;
  Tally tally_;
};

base::Result<void> from_interface(const RecvOptions& options, Checker& checker) {
  XNIC_ASSIGN(auto live, LiveInterface::open(options.interface));
  for (;;) {
    XNIC_ASSIGN(const auto frame, live.receive(options.timeout_s));
    if (!frame) return {};
    XNIC_TRY(checker.take(*frame));
  }
}

base::Result<void> from_capture(const RecvOptions& options, Checker& checker) {
  XNIC_ASSIGN(auto reader, nic::port::PcapReader::open(options.capture));
  for (;;) {
    XNIC_ASSIGN(const auto frame, reader.next());
    if (!frame) return {};
    XNIC_TRY(checker.take(frame->bytes));
  }
}

void print(const Tally& t, bool json) {
  const double percent = t.decisions == 0 ? 0 : 100 * static_cast<double>(t.agree) / static_cast<double>(t.decisions);
  if (json) {
    const nlohmann::ordered_json out = {{"frames", t.frames},
                                        {"foreign", t.foreign},
                                        {"undecided", t.undecided},
                                        {"decisions", t.decisions},
                                        {"splits", t.splits},
                                        {"wrong", t.wrong},
                                        {"agree_double", t.agree},
                                        {"agree_double_percent", percent},
                                        {"false_splits", t.false_splits},
                                        {"missed_splits", t.missed_splits},
                                        {"duplicates", t.duplicates},
                                        {"lost", t.lost}};
    fmt::print("{}\n", out.dump(2));
    return;
  }
  fmt::print("{} decisions, {} splits; {} other than fixed point says\n", t.decisions, t.splits, t.wrong);
  fmt::print("agreement with double precision: {} of {} ({:.3f} %), {} splits too many, {} missed\n", t.agree,
             t.decisions, percent, t.false_splits, t.missed_splits);
  fmt::print("{} lost, {} duplicates, {} undecided, {} foreign frames\n", t.lost, t.duplicates, t.undecided, t.foreign);
}

base::Result<int> check_decisions(const RecvOptions& options) {
  if (options.capture.empty() == options.interface.empty())
    return make_error(ErrorKind::kBadInput, "recv", "needs either --in or --interface");
  std::vector<double> sent;
  if (!options.samples.empty()) {
    XNIC_ASSIGN(Series series, read_series(options.samples, options.series));
    if (series.samples.size() < kSamples)
      return make_error(ErrorKind::kBadInput, series.name, "has too few samples to have been sent");
    sent = std::move(series.samples);
  }
  Checker checker(options, std::move(sent));
  XNIC_TRY(checker.open_csv());
  XNIC_TRY(options.capture.empty() ? from_interface(options, checker) : from_capture(options, checker));
  XNIC_ASSIGN(const Tally tally, checker.finish());
  print(tally, options.json);
  return tally.wrong == 0 && tally.undecided == 0 && tally.lost == 0 && tally.decisions > 0 ? kExitOk : kExitNo;
}

}  // namespace

int recv(const RecvOptions& options) {
  auto result = check_decisions(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::apps::changepoint
