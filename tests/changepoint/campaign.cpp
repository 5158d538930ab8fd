// SPDX-License-Identifier: Apache-2.0
// A queue's streams take turns: in round t each sends its sample t, unless it is lost or delayed. Delayed packets come
// at the end of a later round. Queue q has the streams whose number is q modulo the number of queues.
#include "campaign.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "changepoint/decision.hpp"
#include "changepoint/generate.hpp"
#include "changepoint/stream_card.hpp"

namespace xnic::apps::changepoint {
namespace {

struct Stream {
  uint32_t number;
  std::vector<double> samples;
  std::unique_ptr<OfflineStream> plain;
};

// One thread.
class Sender {
 public:
  Sender(const Campaign& campaign, StreamCard& card, uint32_t queue, std::mutex& ring)
      : campaign_(campaign), card_(card), queue_(queue), ring_(ring), rng_(campaign.seed * 1000 + queue) {
    for (uint32_t i = queue; i < campaign.streams; i += campaign.queues) {
      SeriesPlan plan;
      plan.change = kChanges[i % std::size(kChanges)];
      plan.samples = campaign.samples;
      streams_.push_back({i, generate(plan, rng_).samples, std::make_unique<OfflineStream>(campaign.parameters, i)});
    }
  }

  void run() {
    for (uint32_t round = 0; round < campaign_.samples + 101 && result.error.empty(); ++round) {
      if (round < campaign_.samples) send_round(round);
      const auto delayed = delayed_.find(round);
      if (delayed != delayed_.end()) {
        batch_.insert(batch_.end(), delayed->second.begin(), delayed->second.end());
        delayed_.erase(delayed);
      }
      flush();
    }
    for (const Stream& stream : streams_) result.plain += stream.plain->counts();
  }

  CampaignResult result;

 private:
  void send_round(uint32_t round) {
    for (const Stream& stream : streams_) {
      const auto sample = static_cast<uint32_t>(to_fixed(stream.samples[round], kDeployed.scale));
      const StreamPacket packet{0xc0a80001 + stream.number % 7, stream.number, round, sample};
      if (rng_.chance(campaign_.loss_per_mille, 1000)) {
        ++result.lost;
      } else if (rng_.chance(campaign_.reorder_per_mille, 1000)) {
        delayed_[round + static_cast<uint32_t>(rng_.range(1, 20))].push_back(packet);
      } else if (rng_.chance(campaign_.late_per_mille, 1000)) {
        delayed_[round + 100].push_back(packet);
      } else {
        batch_.push_back(packet);
        if (rng_.chance(campaign_.duplicate_per_mille, 1000)) batch_.push_back(packet);
      }
    }
  }

  void flush() {
    std::vector<StreamAnswer> answers;
    if (auto ran = card_.run(queue_, batch_, answers); !ran) {
      result.error = ran.error().message();
      return;
    }
    result.sent += batch_.size();
    const std::lock_guard<std::mutex> lock(ring_);
    for (size_t i = 0; i < batch_.size(); ++i) {
      const StreamPacket& p = batch_[i];
      const StreamAnswer wanted = streams_[p.stream / campaign_.queues].plain->take(p.sequence, p.sample);
      const bool decided = wanted.tag == StreamTag::kSplit || wanted.tag == StreamTag::kNoSplit;
      if (decided) told_[{p.stream, p.sequence}] = wanted;
      if (wanted == answers[i]) continue;
      if (result.different++ == 0)
        result.first_difference = fmt::format(
            "stream {}, sequence {}: the card says {} (far {}, mean {}, variance {}), the plain computation {} "
            "(far {}, mean {}, variance {})",
            p.stream, p.sequence, static_cast<int>(answers[i].tag), answers[i].far, answers[i].mean,
            answers[i].variance, static_cast<int>(wanted.tag), wanted.far, wanted.mean, wanted.variance);
    }
    batch_.clear();
    collect();
  }

 public:
  // Compares what the ring buffer holds for this queue; what it holds for others waits for them. Under the lock, and
  // once more when all threads have ended: a record that another core was still writing may have stood in front.
  void collect() {
    if (campaign_.engine == "kernel") return;
    card_.drain([&](const StreamResult& r) { pending().push_back(r); });
    std::erase_if(pending(), [&](const StreamResult& r) {
      if (r.stream % campaign_.queues != queue_) return false;
      ++result.results;
      const auto told = told_.find({r.stream, r.sequence});
      const bool right = told != told_.end() && told->second == r.answer && r.address == 0xc0a80001 + r.stream % 7;
      result.wrong_results += !right;
      if (told != told_.end()) told_.erase(told);
      return true;
    });
  }

 private:
  // Results that the ring buffer brought for queues that have yet to look; under the lock.
  std::vector<StreamResult>& pending() { return *pending_; }

  const Campaign& campaign_;
  StreamCard& card_;
  uint32_t queue_;
  std::mutex& ring_;
  base::Rng rng_;
  std::vector<Stream> streams_;
  std::vector<StreamPacket> batch_;
  std::map<uint32_t, std::vector<StreamPacket>> delayed_;
  std::map<std::pair<uint32_t, uint32_t>, StreamAnswer> told_;

 public:
  std::vector<StreamResult>* pending_ = nullptr;
};

}  // namespace

CampaignResult run_campaign(const Campaign& campaign) {
  CampaignResult all;
  auto card = StreamCard::open(campaign.object, campaign.engine, campaign.parameters, campaign.queues, campaign.cores);
  if (!card) {
    all.error = card.error().message();
    return all;
  }
  std::mutex ring;
  std::vector<StreamResult> pending;
  std::vector<std::unique_ptr<Sender>> senders;
  std::vector<std::thread> threads;
  for (uint32_t queue = 0; queue < campaign.queues; ++queue) {
    senders.push_back(std::make_unique<Sender>(campaign, *card, queue, ring));
    senders.back()->pending_ = &pending;
  }
  for (auto& sender : senders) threads.emplace_back([&sender] { sender->run(); });
  for (auto& thread : threads) thread.join();
  for (const auto& sender : senders) sender->collect();
  for (const auto& sender : senders) {
    const CampaignResult& r = sender->result;
    all.sent += r.sent, all.lost += r.lost, all.different += r.different, all.results += r.results;
    all.wrong_results += r.wrong_results, all.plain += r.plain;
    if (all.error.empty()) all.error = r.error;
    if (all.first_difference.empty()) all.first_difference = r.first_difference;
  }
  if (auto counts = card->counts(); counts)
    all.card = *counts;
  else if (all.error.empty())
    all.error = counts.error().message();
  return all;
}

}  // namespace xnic::apps::changepoint
