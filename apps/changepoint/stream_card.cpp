// SPDX-License-Identifier: Apache-2.0
// Parameters go into the object's read-only data before it is loaded; the structs below are its layout.
#include "changepoint/stream_card.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/check.hpp"
#include "exec/maps/ringbuf.hpp"

namespace xnic::apps::changepoint {
namespace {

constexpr size_t kBatch = 64;

struct SumsData {
  uint32_t step, window_steps;
  uint64_t epsilon, epsilon_squared;
};
struct __attribute__((packed)) SamplingData {
  uint64_t epsilon, epsilon_squared;
  uint32_t seed;
};

base::Result<void> set_parameters(const device::GlobalData& data, const StreamParameters& parameters) {
  if (data.name != ".rodata") return {};
  const uint64_t squared = parameters.epsilon * parameters.epsilon;
  const auto set = [&](const auto& values) -> base::Result<void> {
    if (data.value.size() < sizeof values)
      return base::make_error(base::ErrorKind::kBadInput, data.name, "is not that of the program");
    std::memcpy(data.value.data(), &values, sizeof values);
    return {};
  };
  if (parameters.kind == StreamKind::kSampling) return set(SamplingData{parameters.epsilon, squared, parameters.seed});
  return set(SumsData{parameters.step, parameters.window_steps, parameters.epsilon, squared});
}

}  // namespace

base::Result<StreamCard> StreamCard::open(const std::string& path, const std::string& engine,
                                          const StreamParameters& parameters, uint32_t queues, uint32_t cores) {
  using base::ErrorKind;
  const uint64_t window = uint64_t(parameters.step) * parameters.window_steps;
  if (window == 0 || window > 1024 || parameters.window_steps > 8)
    return base::make_error(ErrorKind::kLimit, "window",
                            "{} steps of {} samples; at most 8 steps and 1024 samples are kept",
                            parameters.window_steps, parameters.step);
  if (parameters.epsilon == 0 || parameters.epsilon >= kStreamLimit / 2)
    return base::make_error(ErrorKind::kLimit, "epsilon", "{} units; it is below 2^26 and not zero",
                            parameters.epsilon);
  if (engine == "kernel" && queues != 1)
    return base::make_error(ErrorKind::kUnsupported, engine, "has maps of its own, so it is one queue");
  StreamCard card;
  device::DeviceOptions options;
  options.cpus = std::max(queues, cores);  // copies of per-CPU maps
  card.device_ = std::make_unique<device::Device>(options);
  device::LoadOptions load;
  load.set_global_data = [&](const device::GlobalData& data) { return set_parameters(data, parameters); };
  XNIC_ASSIGN(device::Object object, device::Object::load(*card.device_, path, load));
  card.object_ = std::make_unique<device::Object>(std::move(object));
  card.clock_ = std::make_unique<base::SystemClock>();
  for (uint32_t i = 0; i < queues; ++i) {
    Queue queue;
    queue.engine = exec::make_engine(engine);
    if (queue.engine == nullptr) return base::make_error(ErrorKind::kUnsupported, engine, "no such engine");
    XNIC_TRY(queue.engine->load(card.object_->programs().at(0).loaded));
    XNIC_TRY(queue.engine->push_maps());
    queue.packets.resize(kBatch);
    queue.verdicts.resize(kBatch);
    card.queues_.push_back(std::move(queue));
  }
  return card;
}

base::Result<void> StreamCard::run(uint32_t queue, std::span<const StreamPacket> packets,
                                   std::vector<StreamAnswer>& answers) {
  Queue& q = queues_.at(queue);
  answers.resize(packets.size());
  exec::RunContext context;
  context.clock = clock_.get();
  context.random_state = &q.random_state;
  context.cpu = queue;
  for (size_t first = 0; first < packets.size(); first += kBatch) {
    const size_t count = std::min(kBatch, packets.size() - first);
    for (size_t i = 0; i < count; ++i) {
      q.packets[i].assign(make_stream_frame(packets[first + i]));
      // The kernel's test run has one queue a loopback interface, number 0.
      q.packets[i].rx_queue = queue;
    }
    XNIC_TRY(q.engine->run(std::span(q.packets).first(count), std::span(q.verdicts).first(count), context));
    for (size_t i = 0; i < count; ++i)
      answers[first + i] = stream_answer(base::Bytes(q.packets[i].data, kStreamFrameBytes));
  }
  return {};
}

base::Result<StreamCounts> StreamCard::counts() {
  for (Queue& queue : queues_) XNIC_TRY(queue.engine->pull_maps());
  const device::ObjectMap* map = object_->find_map("counts");
  CHECK(map != nullptr);
  StreamCounts counts;
  uint64_t* const fields[] = {&counts.taken,      &counts.missing,   &counts.reordered, &counts.late,
                              &counts.duplicates, &counts.refused,   &counts.foreign,   &counts.no_room,
                              &counts.restarts,   &counts.decisions, &counts.splits,    &counts.untold};
  std::vector<uint64_t> values(map->map->host_value_bytes() / sizeof(uint64_t));
  for (uint32_t key = 0; key < std::size(fields); ++key) {
    CHECK(map->map->host_lookup(&key, values.data(), 0) == 0);
    for (uint64_t value : values) *fields[key] += value;
  }
  return counts;
}

void StreamCard::drain(const std::function<void(const StreamResult&)>& take) {
  const device::ObjectMap* map = object_->find_map("results");
  CHECK(map != nullptr);
  auto* ring = dynamic_cast<exec::maps::RingbufMap*>(map->map.get());
  CHECK(ring != nullptr);
  constexpr size_t kPage = 4096;
  constexpr uint32_t kBusy = 1u << 31, kDiscard = 1u << 30;
  const std::atomic_ref<uint64_t> consumer(*reinterpret_cast<uint64_t*>(ring->storage()));
  const std::atomic_ref<uint64_t> producer(*reinterpret_cast<uint64_t*>(ring->storage() + kPage));
  const uint8_t* data = ring->storage() + 2 * kPage;
  const uint64_t mask = map->map->spec().max_entries - 1;
  uint64_t at = consumer.load();
  while (at < producer.load()) {
    const uint8_t* record = data + (at & mask);
    auto* head = const_cast<uint32_t*>(reinterpret_cast<const uint32_t*>(record));
    const uint32_t length = std::atomic_ref<uint32_t>(*head).load(std::memory_order_acquire);
    if (length & kBusy) break;
    const uint8_t* r = record + 8;
    if (!(length & kDiscard)) {
      take({base::load_be<uint32_t>(r),
            base::load_le<uint32_t>(r + 4),
            base::load_le<uint32_t>(r + 8),
            {static_cast<StreamTag>(base::load_le<uint32_t>(r + 12)),
             static_cast<uint32_t>(base::load_le<uint64_t>(r + 16)), base::load_le<uint64_t>(r + 24),
             base::load_le<uint64_t>(r + 32)}});
    }
    at += ((length & (kDiscard - 1)) + 8 + 7) / 8 * 8;
    consumer.store(at);
  }
}

}  // namespace xnic::apps::changepoint
