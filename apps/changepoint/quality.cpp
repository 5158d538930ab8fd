// SPDX-License-Identifier: Apache-2.0
#include "changepoint/quality.hpp"

#include <algorithm>
#include <cmath>

#include "changepoint/decision.hpp"

namespace xnic::apps::changepoint {

double Detection::precision() const {
  const size_t alarms = found + false_alarms;
  return alarms == 0 ? 1 : static_cast<double>(found) / static_cast<double>(alarms);
}
double Detection::recall() const {
  return changes == 0 ? 1 : static_cast<double>(found) / static_cast<double>(changes);
}
double Detection::median_delay() const {
  if (delays.empty()) return 0;
  std::vector<size_t> sorted = delays;
  std::sort(sorted.begin(), sorted.end());
  return static_cast<double>(sorted[sorted.size() / 2]);
}
Detection& Detection::operator+=(const Detection& other) {
  changes += other.changes, found += other.found, false_alarms += other.false_alarms;
  delays.insert(delays.end(), other.delays.begin(), other.delays.end());
  return *this;
}

Detection judge(const MarkedSeries& series, const std::vector<size_t>& alarms, size_t tolerance, size_t drift) {
  Detection d;
  d.changes = series.changes.size();
  std::vector<bool> hit(series.changes.size());
  for (size_t alarm : alarms) {
    bool near = false;
    for (size_t i = 0; i < series.changes.size(); ++i) {
      const size_t change = series.changes[i];
      if (alarm < change || alarm >= change + drift + tolerance) continue;
      near = true;
      if (hit[i]) continue;
      hit[i] = true;
      d.delays.push_back(alarm - change);
    }
    d.false_alarms += !near;
  }
  d.found = static_cast<size_t>(std::count(hit.begin(), hit.end(), true));
  return d;
}

StreamParameters quality_parameters() {
  StreamParameters parameters;
  parameters.epsilon = to_fixed(0.2, kDeployed.scale);
  return parameters;
}

base::Result<std::vector<size_t>> detect_in_card(StreamCard& card, uint32_t stream,
                                                 const std::vector<double>& samples) {
  std::vector<StreamPacket> packets;
  for (size_t i = 0; i < samples.size(); ++i)
    packets.push_back(
        {0xc0a80001, stream, static_cast<uint32_t>(i), static_cast<uint32_t>(to_fixed(samples[i], kDeployed.scale))});
  std::vector<StreamAnswer> answers;
  XNIC_TRY(card.run(0, packets, answers));
  std::vector<size_t> alarms;
  for (size_t i = 0; i < answers.size(); ++i)
    if (answers[i].tag == StreamTag::kSplit) alarms.push_back(i);
  return alarms;
}

std::vector<size_t> detect_cusum(const std::vector<double>& samples, const CusumOptions& options) {
  std::vector<size_t> alarms;
  size_t begin = 0;
  while (begin + options.learn < samples.size()) {
    double sum = 0, squares = 0;
    for (size_t i = begin; i < begin + options.learn; ++i) sum += samples[i], squares += samples[i] * samples[i];
    const auto n = static_cast<double>(options.learn);
    const double mean = sum / n;
    const double deviation = std::sqrt(std::max(squares / n - mean * mean, 1e-18));
    double up = 0, down = 0, wider = 0, narrower = 0;
    size_t i = begin + options.learn;
    for (; i < samples.size(); ++i) {
      const double z = (samples[i] - mean) / deviation;
      up = std::max(0.0, up + z - options.slack);
      down = std::max(0.0, down - z - options.slack);
      // z^2 has mean 1 and deviation sqrt(2).
      wider = std::max(0.0, wider + (z * z - 1) / std::sqrt(2.0) - options.slack);
      narrower = std::max(0.0, narrower + (1 - z * z) / std::sqrt(2.0) - options.slack);
      if (std::max({up, down, wider, narrower}) > options.threshold) break;
    }
    if (i < samples.size()) alarms.push_back(i);
    begin = i + 1;
  }
  return alarms;
}

}  // namespace xnic::apps::changepoint
