// SPDX-License-Identifier: Apache-2.0
// What a card tells: counters, records, engines.
#include "nic/datapath/card.hpp"

namespace xnic::nic::datapath {

uint64_t Card::under_way() const {
  uint64_t sum = 0;
  for (const auto& ring : fabric_.rings)
    if (ring != nullptr) sum += ring->filled();
  for (const PortView& port : config_->ports)
    for (const auto& side : port.state->sides) sum += side->waiting.load(std::memory_order_relaxed);
  return sum;
}

Totals Card::totals() const {
  std::lock_guard lock(mutex_);
  Totals totals = retired_;
  for (const PortView& port : config_->ports)
    for (const auto& side : port.state->sides) side->counters.add_to(totals);
  for (const auto& worker : workers_) worker->lost().add_to(totals);
  totals.held = under_way();
  return totals;
}

std::optional<Totals> Card::port_totals(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  const PortView* port = config_->find(ifindex);
  if (port == nullptr) return std::nullopt;
  Totals totals;
  for (const auto& side : port->state->sides) {
    side->counters.add_to(totals);
    totals.held += side->waiting.load(std::memory_order_relaxed);
  }
  return totals;
}

std::vector<QueueTotals> Card::queue_totals(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  const PortView* port = config_->find(ifindex);
  if (port == nullptr) return {};
  std::vector<QueueTotals> queues(port->state->queues);
  for (const auto& side : port->state->sides) {
    for (uint32_t queue = 0; queue < queues.size(); ++queue) {
      for (size_t action = 0; action < kActionCount; ++action) {
        const uint64_t packets = side->counters.verdicts[queue][action].load(std::memory_order_relaxed);
        queues[queue].verdicts[action] += packets;
        queues[queue].packets += packets;
      }
    }
  }
  return queues;
}

// Engines are their workers' alone, so the workers read them.
std::vector<WorkerEngine> Card::engines(uint32_t ifindex) {
  std::lock_guard lock(mutex_);
  const PortView* port = config_->find(ifindex);
  if (port == nullptr || port->program == nullptr) return {};
  std::vector<WorkerEngine> engines(fabric_.workers);
  for (uint32_t i = 0; i < fabric_.workers; ++i) {
    workers_[i]->call([&] {
      const exec::Engine& engine = *port->program->workers[i]->engine();
      engines[i] = {std::string(engine.name()), engine.counters()};
    });
  }
  return engines;
}

std::vector<Card::PortEntry> Card::ports() const {
  std::lock_guard lock(mutex_);
  std::vector<PortEntry> entries;
  for (const PortView& port : config_->ports) {
    const port::Info& info = port.state->port->info();
    PortEntry entry{info.ifindex, port.state->options.side_of, info.name, info.kind, {}};
    if (auto status = port.state->port->status(); !status) entry.error = std::move(status.error());
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::optional<base::Error> Card::attach_error(uint32_t ifindex) const {
  std::lock_guard lock(mutex_);
  for (const auto& [port, error] : attach_errors_)
    if (port == ifindex) return error;
  return std::nullopt;
}

size_t Card::read_trace(const std::function<void(const TraceRecord&)>& take) {
  size_t count = 0;
  TraceRecord record;
  for (auto& worker : workers_)
    for (; worker->trace().take(record); ++count) take(record);
  return count;
}

size_t Card::read_aborts(const std::function<void(const TraceRecord&)>& take) {
  size_t count = 0;
  TraceRecord record;
  for (auto& worker : workers_)
    for (; worker->aborts().take(record); ++count) take(record);
  return count;
}

uint64_t Card::trace_missed() const {
  uint64_t missed = 0;
  for (const auto& worker : workers_) missed += worker->trace().missed() + worker->aborts().missed();
  return missed;
}

}  // namespace xnic::nic::datapath
