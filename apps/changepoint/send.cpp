// SPDX-License-Identifier: Apache-2.0
// `xnic-changepoint send`: a series as packets, one for each decision.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "changepoint/command.hpp"
#include "changepoint/live.hpp"
#include "nic/port/pcap.hpp"

namespace xnic::apps::changepoint {
namespace {

using base::ErrorKind;
using base::make_error;

constexpr uint64_t kFirstTimestampNs = 1'000'000'000;

template <class Put>
base::Result<void> each_frame(const Series& series, const SendOptions& options, Put put) {
  const uint64_t windows = series.samples.size() - kSamples + 1;
  for (uint64_t i = 0; i < windows * options.repeat; ++i) {
    const auto at = series.samples.begin() + static_cast<ptrdiff_t>(i % windows);
    XNIC_TRY(put(i, make_frame(options.form, {0, i, windows * options.repeat, {at, at + kSamples}})));
  }
  return {};
}

base::Result<void> to_capture(const Series& series, const SendOptions& options) {
  if (options.capture == "-" && isatty(STDOUT_FILENO) != 0)
    return make_error(ErrorKind::kBadInput, "--out", "a capture on a terminal helps nobody: give a file, or pipe it");
  XNIC_ASSIGN(auto writer, nic::port::PcapngWriter::create(options.capture));
  const double gap_ns = 1e9 / (options.rate > 0 ? options.rate : 1e6);
  XNIC_TRY(each_frame(series, options, [&](uint64_t i, const std::vector<uint8_t>& frame) {
    const auto offset_ns = static_cast<uint64_t>(static_cast<double>(i) * gap_ns);
    return writer.write(frame, kFirstTimestampNs + offset_ns, std::nullopt, "");
  }));
  return writer.close();
}

base::Result<void> to_interface(const Series& series, const SendOptions& options) {
  XNIC_ASSIGN(auto live, LiveInterface::open(options.interface));
  const auto start = std::chrono::steady_clock::now();
  return each_frame(series, options, [&](uint64_t i, const std::vector<uint8_t>& frame) {
    if (options.rate > 0)
      std::this_thread::sleep_until(
          start + std::chrono::nanoseconds(static_cast<uint64_t>(static_cast<double>(i) * 1e9 / options.rate)));
    return live.send(frame);
  });
}

base::Result<void> send_series(const SendOptions& options) {
  if (options.capture.empty() == options.interface.empty())
    return make_error(ErrorKind::kBadInput, "send", "needs either --out or --interface");
  XNIC_ASSIGN(const Series series, read_series(options.input, options.series));
  if (series.samples.size() < kSamples)
    return make_error(ErrorKind::kBadInput, series.name, "has {} samples; a decision needs {}", series.samples.size(),
                      kSamples);
  XNIC_TRY(options.capture.empty() ? to_interface(series, options) : to_capture(series, options));
  std::fprintf(stderr, "%zu samples (%llu blank rows left out), %llu packets\n", series.samples.size(),
               static_cast<unsigned long long>(series.blank_rows),
               static_cast<unsigned long long>((series.samples.size() - kSamples + 1) * options.repeat));
  return {};
}

}  // namespace

int send(const SendOptions& options) {
  auto done = send_series(options);
  return done ? int{kExitOk} : report(done.error());
}

}  // namespace xnic::apps::changepoint
