// SPDX-License-Identifier: Apache-2.0
// Many streams through the card at once, every answer compared with the plain computation.
#pragma once

#include <string>

#include "changepoint/stream.hpp"

namespace xnic::apps::changepoint {

struct Campaign {
  std::string object;  // file
  std::string engine = "interp";
  StreamParameters parameters;
  uint32_t queues = 1;  // a thread each
  uint32_t cores = 1;   // of an hXDP card; the caller installs it so
  uint32_t streams = 100;
  uint32_t samples = 2000;
  uint32_t loss_per_mille = 0;
  uint32_t reorder_per_mille = 0;    // delayed by 1 to 20 rounds
  uint32_t late_per_mille = 0;       // delayed by 100 rounds
  uint32_t duplicate_per_mille = 0;  // sent twice
  uint64_t seed = 1;
};
struct CampaignResult {
  uint64_t sent = 0;           // packets that reached the card
  uint64_t lost = 0;           // that did not
  uint64_t different = 0;      // answers
  uint64_t results = 0;        // that the ring buffer brought
  uint64_t wrong_results = 0;  // of them
  StreamCounts card;
  StreamCounts plain;
  std::string first_difference;
  std::string error;  // empty: the campaign ran to its end
};
CampaignResult run_campaign(const Campaign& campaign);

}  // namespace xnic::apps::changepoint
