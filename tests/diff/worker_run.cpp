// SPDX-License-Identifier: Apache-2.0
// Packets are drawn in rounds. In a round every worker's packets run three times: in the interpreter with the worker's
// own maps, in the interpreter on maps that all share, in two orders (whether order matters): from the first worker to
// the last, and back; and as native code in threads that start together, on shared maps again, in batches as a card has
// them.
#include "worker_run.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/check.hpp"
#include "compare.hpp"
#include "exec/interp/interp.hpp"
#include "frame_mix.hpp"
#include "nic/datapath/headers.hpp"
#include "shared_maps.hpp"

namespace xnic::tests {
namespace {

using exec::LoadedProgram;
using exec::RunContext;
using exec::Verdict;
using exec::packet::Packet;
using Program = std::shared_ptr<const LoadedProgram>;

constexpr size_t kBatchPackets = 64;
constexpr size_t kRoundPackets = 1024;  // of one worker, on average
constexpr size_t kToldDifferences = 3;

enum class Spread : uint8_t { kAddresses, kSource, kDestination };
constexpr std::pair<Spread, const char*> kSpreads[] = {
    {Spread::kAddresses, "addresses"}, {Spread::kSource, "source"}, {Spread::kDestination, "destination"}};

// Where the addresses are that a packet is spread by.
struct Addresses {
  size_t source = 6, destination = 0, bytes = 6;  // Ethernet's, without IP
};
Addresses ip_addresses(size_t header, bool six) {
  return six ? Addresses{header + 8, header + 24, 16} : Addresses{header + 12, header + 16, 4};
}

// Those of the packet's flow: an ICMP error belongs to the packet that it quotes.
Addresses addresses_of(const Packet& packet) {
  constexpr uint8_t kIcmp = 1, kIcmp6 = 58;
  constexpr size_t kIcmpHeader = 8, kLongest = 40;
  const auto headers = nic::datapath::read_headers(packet);
  if (headers.version == 0) return {};
  const bool six = headers.version == 6;
  const size_t quoted = headers.transport_at + kIcmpHeader;
  if (headers.transport_at != 0 && quoted + kLongest <= size_t(packet.data_end - packet.data)) {
    const uint8_t type = packet.data[headers.transport_at];
    const bool error4 = !six && headers.protocol == kIcmp && (type == 3 || type == 4 || type == 11 || type == 12);
    if (error4 || (six && headers.protocol == kIcmp6 && type < 128)) return ip_addresses(quoted, six);
  }
  return ip_addresses(headers.network_at, six);
}

// Equal for both directions with kAddresses.
uint64_t spread_hash(const Packet& packet, Spread spread) {
  const Addresses at = addresses_of(packet);
  uint64_t hash = 0;
  for (size_t i = 0; i < at.bytes; ++i) {
    const uint8_t from = packet.data[at.source + i], to = packet.data[at.destination + i];
    hash = hash * 31 + (spread == Spread::kSource ? from : spread == Spread::kDestination ? to : from ^ to);
  }
  return hash * 0x9e3779b97f4a7c15u >> 32;
}

// Packets of a round with what became of them.
struct Round {
  std::vector<Packet> packets;
  std::vector<Verdict> verdicts;
  void lay_out(const std::vector<RandomPacket>& inputs, size_t count) {
    while (packets.size() < count) packets.emplace_back();
    if (verdicts.size() < count) verdicts.resize(count);
    for (size_t i = 0; i < count; ++i) place(inputs[i], packets[i]);
  }
};

struct Worker {
  Program own;  // with maps of its own
  exec::interp::Interp interp;
  std::unique_ptr<exec::Engine> native = exec::make_engine("native");
  std::vector<RandomPacket> inputs;
  size_t count = 0;  // of inputs, in this round
  Round alone, forth, back, shared;
  uint64_t random_state = 1;
  std::string problem;
};

class Workers {
 public:
  Workers(const WorkerOptions& options, Spread spread)
      : options_(options), spread_(spread), mix_(options.seed), workers_(options.workers) {
    mix_.add_samples(options.samples);
  }
  base::Result<void> load(const LoadCopy& copy);
  WorkerRun run();

 private:
  base::Result<Program> prepare(const LoadCopy& copy);
  void draw(size_t packets);
  void run_batches(Worker& worker, exec::Engine& engine, Round& round);
  template <class F>
  void together(F&& work);
  void compare_round();
  void compare_packet(const Worker& worker, size_t i);
  void compare_maps();
  void tell(std::string text) {
    ++result_.different;
    if (result_.differences.size() < kToldDifferences) result_.differences.push_back(std::move(text));
  }
  void order_matters(std::string why) {
    if (result_.order_matters.empty()) result_.order_matters = std::move(why);
  }

  const WorkerOptions& options_;
  const Spread spread_;
  FrameMix mix_;
  std::vector<Worker> workers_;
  Program forth_, back_, shared_;
  exec::interp::Interp forth_interp_, back_interp_;
  std::vector<MapContents> before_;
  base::SystemClock clock_;
  Packet look_;
  WorkerRun result_;
};

base::Result<Program> Workers::prepare(const LoadCopy& copy) {
  XNIC_ASSIGN(Program loaded, copy());
  loaded = with_constant_time(loaded, options_.seed);
  fill_from_mix(loaded, options_.samples, options_.seed);
  for (const auto& map : loaded->maps) CHECK(map->cpus() >= options_.workers || map->cpus() == 1);
  return loaded;
}

base::Result<void> Workers::load(const LoadCopy& copy) {
  XNIC_ASSIGN(forth_, prepare(copy));
  XNIC_ASSIGN(back_, prepare(copy));
  XNIC_ASSIGN(shared_, prepare(copy));
  XNIC_TRY(forth_interp_.load(forth_));
  XNIC_TRY(back_interp_.load(back_));
  for (Worker& worker : workers_) {
    XNIC_ASSIGN(worker.own, prepare(copy));
    XNIC_TRY(worker.interp.load(worker.own));
    XNIC_TRY(worker.native->load(shared_));
  }
  for (const SharedMap& map : shared_maps(*shared_)) {
    if (is_queue(*map.map)) order_matters(fmt::format("map {} is a queue", map.map->spec().name));
    before_.push_back(is_queue(*map.map) ? MapContents() : map_contents(*map.map));
  }
  return {};
}

void Workers::draw(size_t packets) {
  for (Worker& worker : workers_) worker.count = 0;
  RandomPacket input;
  for (size_t i = 0; i < packets; ++i) {
    mix_.next(input);
    place(input, look_);
    Worker& worker = workers_[spread_hash(look_, spread_) % workers_.size()];
    if (worker.count == worker.inputs.size()) worker.inputs.emplace_back();
    std::swap(worker.inputs[worker.count++], input);
  }
  for (Worker& worker : workers_) {
    for (Round* round : {&worker.alone, &worker.forth, &worker.back, &worker.shared})
      round->lay_out(worker.inputs, worker.count);
  }
}

void Workers::run_batches(Worker& worker, exec::Engine& engine, Round& round) {
  RunContext context;
  context.clock = &clock_;
  context.random_state = &worker.random_state;
  context.cpu = uint32_t(&worker - workers_.data());
  context.count_time = false;
  for (size_t at = 0; at < worker.count; at += kBatchPackets) {
    const size_t count = std::min(kBatchPackets, worker.count - at);
    const auto ran =
        engine.run(std::span(round.packets).subspan(at, count), std::span(round.verdicts).subspan(at, count), context);
    if (!ran) worker.problem = ran.error().message();
  }
}

// Each worker's part in a thread of its own; all begin when the last thread is there.
template <class F>
void Workers::together(F&& work) {
  std::atomic<size_t> waiting = workers_.size();
  std::vector<std::jthread> threads;
  for (Worker& worker : workers_) {
    threads.emplace_back([&] {
      --waiting;
      while (waiting.load() != 0) std::this_thread::yield();
      work(worker);
    });
  }
}

void Workers::compare_packet(const Worker& worker, size_t i) {
  const auto text = [&](const Round& round, std::string_view whose) {
    const std::vector<uint8_t> bytes = round.packets[i].bytes();
    return fmt::format("  {}: verdict {}, {} bytes {}\n", whose, round.verdicts[i].code, bytes.size(),
                       hex(base::Bytes(bytes).first(std::min<size_t>(bytes.size(), 128))));
  };
  tell(fmt::format(
           "worker {}, a packet of {} bytes: {}\n", &worker - workers_.data(), worker.inputs[i].frame.size(),
           hex(base::Bytes(worker.inputs[i].frame).first(std::min<size_t>(worker.inputs[i].frame.size(), 128)))) +
       text(worker.alone, "interp") + text(worker.shared, "native"));
}

void Workers::compare_round() {
  const auto same = [](const Round& a, const Round& b, size_t i) {
    const exec::Redirect &c = a.verdicts[i].redirect, &d = b.verdicts[i].redirect;
    return a.verdicts[i].code == b.verdicts[i].code && c.kind == d.kind && c.target == d.target && c.flags == d.flags &&
           same_bytes(a.packets[i], b.packets[i]);
  };
  for (const Worker& worker : workers_) {
    result_.packets += worker.count;
    if (!worker.problem.empty()) tell(worker.problem + "\n");
    for (size_t i = 0; i < worker.count; ++i) {
      if (!same(worker.alone, worker.forth, i) || !same(worker.alone, worker.back, i))
        order_matters("a packet's result depends on other workers' packets");
      if (!same(worker.alone, worker.shared, i)) compare_packet(worker, i);
    }
  }
}

void Workers::compare_maps() {
  const auto shared = shared_maps(*shared_), forth = shared_maps(*forth_), back = shared_maps(*back_);
  std::vector<std::vector<SharedMap>> own;
  for (const Worker& worker : workers_) own.push_back(shared_maps(*worker.own));
  for (size_t i = 0; i < shared.size(); ++i) {
    if (is_queue(*shared[i].map)) continue;
    std::vector<MapChanges> alone;
    for (const auto& maps : own) alone.push_back(changes_since(before_[i], *maps[i].map));
    const Merged expected = merge(before_[i], alone);
    const std::string name = shared[i].map->spec().name;
    if (expected.met && !options_.any_order && !(shared[i].index && only_adds(*shared_, *shared[i].index)))
      order_matters(fmt::format("workers change the same words of map {}", name));
    if (!difference(expected.changes, changes_since(before_[i], *forth[i].map)).empty() ||
        !difference(expected.changes, changes_since(before_[i], *back[i].map)).empty())
      order_matters(fmt::format("the contents of map {} depend on the order", name));
    const std::string text = difference(expected.changes, changes_since(before_[i], *shared[i].map));
    if (!text.empty()) tell(fmt::format("map {} (type {})\n{}", name, shared[i].map->spec().type, text));
  }
}

WorkerRun Workers::run() {
  while (result_.order_matters.empty() && result_.packets < options_.packets) {
    draw(std::min<size_t>(kRoundPackets * workers_.size(), options_.packets - result_.packets));
    together([this](Worker& worker) { run_batches(worker, worker.interp, worker.alone); });
    for (Worker& worker : workers_) run_batches(worker, forth_interp_, worker.forth);
    for (size_t i = workers_.size(); i-- > 0;) run_batches(workers_[i], back_interp_, workers_[i].back);
    together([this](Worker& worker) { run_batches(worker, *worker.native, worker.shared); });
    compare_round();
  }
  if (result_.order_matters.empty()) compare_maps();
  if (result_.order_matters.empty()) return std::move(result_);
  // A program that says of itself that order does not matter is wrong.
  if (options_.any_order) tell(result_.order_matters + "\n");
  return std::move(result_);
}

}  // namespace

base::Result<WorkerRun> run_workers(const LoadCopy& load, const WorkerOptions& options) {
  WorkerRun result;
  for (const auto& [spread, name] : kSpreads) {
    Workers workers(options, spread);
    XNIC_TRY(workers.load(load));
    result = workers.run();
    result.spread = name;
    if (result.order_matters.empty() || options.any_order) return result;
  }
  result.packets = result.different = 0;
  result.differences.clear();
  return result;
}

}  // namespace xnic::tests
