// SPDX-License-Identifier: Apache-2.0
#include "nic/datapath/counters.hpp"

#include <algorithm>

namespace xnic::nic::datapath {

std::string_view drop_name(Drop drop) {
  static constexpr std::string_view kNames[] = {
#define XNIC_DROP_NAME(id, name, text) name,
      XNIC_DATAPATH_DROPS(XNIC_DROP_NAME)
#undef XNIC_DROP_NAME
  };
  return kNames[static_cast<size_t>(drop)];
}

std::string_view drop_text(Drop drop) {
  static constexpr std::string_view kTexts[] = {
#define XNIC_DROP_TEXT(id, name, text) text,
      XNIC_DATAPATH_DROPS(XNIC_DROP_TEXT)
#undef XNIC_DROP_TEXT
  };
  return kTexts[static_cast<size_t>(drop)];
}

void WorkerCounters::add_to(Totals& totals) const {
  const auto read = [](const Counter& counter) { return counter.load(std::memory_order_relaxed); };
  totals.received += read(received);
  totals.copied += read(copied);
  totals.sent += read(sent);
  totals.handed_over += read(handed_over);
  totals.bad_checksums += read(bad_checksums);
  totals.residence_ns += read(residence_ns);
  totals.residence_count += read(residence_count);
  totals.residence_max_ns = std::max(totals.residence_max_ns, read(residence_max_ns));
  for (size_t i = 0; i < kDropCount; ++i) totals.drops[i] += read(drops[i]);
}

}  // namespace xnic::nic::datapath
