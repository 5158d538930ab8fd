// SPDX-License-Identifier: Apache-2.0
// How well change points are found: the card's, and a plain offline CUSUM as the measure.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "changepoint/generate.hpp"
#include "changepoint/stream_card.hpp"

namespace xnic::apps::changepoint {

struct Detection {
  size_t changes = 0;
  size_t found = 0;  // changes with an alarm within the tolerance behind them
  size_t false_alarms = 0;
  std::vector<size_t> delays;  // of those found, in samples
  double precision() const;    // 1 without alarms
  double recall() const;       // 1 without changes
  double median_delay() const;
  Detection& operator+=(const Detection& other);
};
// Each change takes the first alarm in [change, change + tolerance), and the further alarms there are part of it; all
// others are false. For a drift the tolerance begins to count when it is over.
Detection judge(const MarkedSeries& series, const std::vector<size_t>& alarms, size_t tolerance, size_t drift = 0);

// The numbers of the samples that completed a step that split. Pre: no packet of this stream came before.
base::Result<std::vector<size_t>> detect_in_card(StreamCard& card, uint32_t stream, const std::vector<double>& samples);
// Windows for noise with a deviation of 0.05: epsilon is four deviations.
StreamParameters quality_parameters();

// Two-sided CUSUM (Page 1954) on mean and, on the squared deviations, variance; both learn a state's mean and deviation
// from its first samples.
struct CusumOptions {
  size_t learn = 512;     // as many as the card's window
  double slack = 0.5;     // in deviations: half the shift that it is tuned for
  double threshold = 25;  // in deviations
};
std::vector<size_t> detect_cusum(const std::vector<double>& samples, const CusumOptions& options);

}  // namespace xnic::apps::changepoint
