// SPDX-License-Identifier: Apache-2.0
// `xnic-changepoint measure`: latency in the card by its cycle counters, or through the host by its clock.
//
// Through the host: each frame goes out at one end of a veth pair and is waited for at the other, and the clock is read
// on both sides of that. Three variants take turns in short blocks, so that whatever the machine does meets all of
// them: no program, `pass` (the driver's XDP path with nothing to do), and the change-point program. The program's own
// share is the difference of two distributions, never of two minima, and the tag of every frame is looked at, so that a
// program that left early would be noticed.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "changepoint/card.hpp"
#include "changepoint/card_latency.hpp"
#include "changepoint/command.hpp"
#include "changepoint/live.hpp"
#include "changepoint/veth.hpp"
#include "device/hxdp_images.hpp"

namespace xnic::apps::changepoint {
namespace {

using base::ErrorKind;
using base::make_error;
using nlohmann::ordered_json;

constexpr size_t kBlock = 200;  // packets of one variant at a time
constexpr size_t kSettle = 20;  // first packets of a block, which do not count
constexpr double kPercentiles[] = {1, 10, 50, 90, 99, 99.9};

struct Variant {
  std::string name;
  std::vector<double> ns;
  double at(double percent) const {
    std::vector<double> sorted = ns;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(percent / 100 * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
};

std::string program_of(Form form) { return form == Form::kFixed ? "changepoint_fixed" : "changepoint_double"; }

base::Result<Frames> frames_of(const MeasureOptions& options) {
  XNIC_ASSIGN(const Series series, read_series(options.input, options.series));
  if (series.samples.size() < kSamples)
    return make_error(ErrorKind::kBadInput, series.name, "has too few samples for a decision");
  Frames frames;
  const size_t count = series.samples.size() - kSamples + 1;
  for (size_t i = 0; i < count; ++i) {
    const auto at = series.samples.begin() + static_cast<ptrdiff_t>(i);
    frames.push_back(make_frame(options.form, {0, i, count, {at, at + kSamples}}));
  }
  return frames;
}

ordered_json json_of(const Variant& v) {
  ordered_json row = {{"variant", v.name}, {"packets", v.ns.size()}};
  for (double p : kPercentiles) row[fmt::format("p{:g}_ns", p)] = std::round(v.at(p) * 10) / 10;
  return row;
}

void print_table(const std::vector<Variant>& variants) {
  fmt::print("{:<20}{:>8}", "ns", "packets");
  for (double p : kPercentiles) fmt::print("{:>10}", fmt::format("p{:g}", p));
  fmt::print("\n");
  for (const Variant& v : variants) {
    fmt::print("{:<20}{:>8}", v.name, v.ns.size());
    for (double p : kPercentiles) fmt::print("{:>10.0f}", v.at(p));
    fmt::print("\n");
  }
}

// Columns of one width from the fastest first percent to the slowest 99th, a block of # for each variant.
void print_histogram(const std::vector<Variant>& variants) {
  constexpr size_t kBins = 24;
  constexpr size_t kBarWidth = 40;
  double low = 1e18, high = 0;
  for (const Variant& v : variants) low = std::min(low, v.at(1)), high = std::max(high, v.at(99));
  const double width = std::max(1.0, (high - low) / kBins);
  for (const Variant& v : variants) {
    std::vector<size_t> bins(kBins);
    for (double ns : v.ns)
      if (ns >= low && ns < low + width * kBins) ++bins[static_cast<size_t>((ns - low) / width)];
    const size_t most = std::max<size_t>(1, *std::max_element(bins.begin(), bins.end()));
    fmt::print("\n{}\n", v.name);
    for (size_t b = 0; b < kBins; ++b)
      fmt::print("{:>9.0f} |{:<{}} {}\n", low + width * static_cast<double>(b),
                 std::string(bins[b] * kBarWidth / most, '#'), kBarWidth, bins[b]);
  }
}

base::Result<void> write_csv(const std::vector<Variant>& variants, const std::string& path) {
  if (path.empty()) return {};
  std::ofstream file(path);
  file << "variant,packet,ns\n";
  for (const Variant& v : variants)
    for (size_t i = 0; i < v.ns.size(); ++i) file << v.name << ',' << i << ',' << v.ns[i] << '\n';
  file.close();
  return file ? base::Result<void>() : make_error(ErrorKind::kIo, path, "cannot be written");
}

base::Result<void> in_card(const MeasureOptions& options) {
  XNIC_ASSIGN(const Frames frames, frames_of(options));
  exec::sim::hxdp::CardOptions card_options;
  card_options.keep_runs = true;
  device::install_hxdp({}, card_options);
  std::vector<Variant> variants;
  CardLatency sample;
  double clock_mhz = 0, back_to_back = 0;
  for (const std::string& program : {std::string("pass"), program_of(options.form)}) {
    XNIC_ASSIGN(Card card, Card::open(program_path(program), "hxdp"));
    Frames through = frames;
    std::vector<exec::Verdict> verdicts;
    XNIC_TRY(card.run(through, verdicts));
    const auto& engine = static_cast<const exec::sim::hxdp::Hxdp&>(card.engine());
    clock_mhz = static_cast<double>(engine.image().parameters.clock_hz) / 1e6;
    const auto gap = static_cast<uint64_t>(clock_mhz * 1e6 / options.rate);
    Variant variant{program, {}};
    for (const CardLatency& latency : paced_latency(engine, gap)) {
      variant.ns.push_back(latency.cycles * 1e3 / clock_mhz);
      sample = latency;
    }
    back_to_back =
        clock_mhz * static_cast<double>(frames.size()) / static_cast<double>(engine.card()->counters().elapsed);
    variants.push_back(std::move(variant));
  }
  XNIC_TRY(write_csv(variants, options.csv));
  const double transfer_ns = sample.transfer_cycles * 1e3 / clock_mhz;
  if (options.json) {
    const ordered_json out = {{"where", "hxdp"},
                              {"clock_mhz", clock_mhz},
                              {"transfer_ns", transfer_ns},
                              {"back_to_back_mpps", back_to_back},
                              {"variants", {json_of(variants[0]), json_of(variants[1])}}};
    fmt::print("{}\n", out.dump(2));
    return {};
  }
  print_table(variants);
  fmt::print(
      "Wire to wire on the hXDP card at {:g} MHz, {:g} packets a second; {:.0f} ns of each are the frame's way in and "
      "out. Back to back: {:.2f} Mpps on one core.\n",
      clock_mhz, options.rate, transfer_ns, back_to_back);
  return {};
}

double now_ns() {
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

base::Result<void> one_packet(LiveInterface& out, LiveInterface& in, base::Bytes frame, bool decides, bool counts,
                              Variant& variant) {
  const double start = now_ns();
  XNIC_TRY(out.send(frame));
  XNIC_ASSIGN(const auto got, in.receive(1));
  const double ns = now_ns() - start;
  if (!got) return make_error(ErrorKind::kIo, "veth", "a packet did not arrive within a second");
  if (got->size() < kTagOffset + 8) return make_error(ErrorKind::kIo, "veth", "a foreign frame arrived");
  const bool decided = base::load_le<uint64_t>(got->data() + kTagOffset) != 0;
  if (decided != decides)
    return make_error(ErrorKind::kIo, variant.name, "the frame came back {}", decided ? "decided" : "undecided");
  if (counts) variant.ns.push_back(ns);
  return {};
}

std::string conclusion(const std::vector<Variant>& variants) {
  const double added = variants[2].at(50) - variants[1].at(50);
  const double spread = variants[1].at(90) - variants[1].at(10);
  std::string text = fmt::format(
      "The median with the program is {:+.0f} ns against `pass` on the same path, and `pass` is {:+.0f} ns against no "
      "program; the path itself scatters by {:.0f} ns (10 % to 90 %). ",
      added, variants[1].at(50) - variants[0].at(50), spread);
  if (std::fabs(added) < spread / 10)
    text += "So the program's own time is lost in the scatter: an upper bound of its order is all that can be said. ";
  else
    text += "That difference is the program with all that it disturbs, at the median; not the time of one packet. ";
  return text +
         "A host's path holds system calls, wake-ups and whatever else ran, so nothing follows from it for a card; "
         "that "
         "is what the card's cycle counters are for.";
}

base::Result<void> through_veth(const MeasureOptions& options) {
  XNIC_ASSIGN(const Frames frames, frames_of(options));
  const std::string objects[] = {"", program_path("pass"), program_path(program_of(options.form))};
  XNIC_ASSIGN(VethPair pair, VethPair::make());
  XNIC_ASSIGN(LiveInterface out, LiveInterface::open(pair.sending()));
  XNIC_ASSIGN(LiveInterface in, LiveInterface::open(pair.receiving()));
  std::vector<Variant> variants = {{"no program", {}}, {"pass", {}}, {program_of(options.form), {}}};
  size_t next = 0;
  while (variants[2].ns.size() < options.packets) {
    for (size_t v = 0; v < variants.size(); ++v) {
      XNIC_TRY(pair.attach(objects[v]));
      const size_t wanted = std::min(kBlock, options.packets - variants[v].ns.size());
      for (size_t i = 0; i < kSettle + wanted; ++i)
        XNIC_TRY(one_packet(out, in, frames[next++ % frames.size()], v == 2, i >= kSettle, variants[v]));
    }
  }
  XNIC_TRY(pair.attach(""));
  XNIC_TRY(write_csv(variants, options.csv));
  if (options.json) {
    ordered_json list = ordered_json::array();
    for (const Variant& v : variants) list.push_back(json_of(v));
    fmt::print("{}\n",
               ordered_json({{"where", "veth"}, {"variants", list}, {"conclusion", conclusion(variants)}}).dump(2));
    return {};
  }
  print_table(variants);
  print_histogram(variants);
  fmt::print("\n{}\n", conclusion(variants));
  return {};
}

}  // namespace

int measure(const MeasureOptions& options) {
  auto done = options.veth ? through_veth(options) : in_card(options);
  return done ? int{kExitOk} : report(done.error());
}

}  // namespace xnic::apps::changepoint
