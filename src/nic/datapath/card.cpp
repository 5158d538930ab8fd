// SPDX-License-Identifier: Apache-2.0
// Changes. Each copies the configuration, changes the copy, publishes it, and waits until every worker has begun a poll
// with it (publish()): what only the old one named is then used by nobody, and goes.
#include "nic/datapath/card.hpp"

#include <time.h>

#include <algorithm>
#include <cerrno>

#include "base/check.hpp"

namespace xnic::nic::datapath {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {
constexpr uint32_t kRingPackets = 1024;  // between two workers, for each class
}

Card::Card(device::Device& device, const CardOptions& options) : device_(device), options_(options) {
  fabric_.workers = options.workers;
  fabric_.spin_polls = options.spin_polls;
  fabric_.seed = options.seed;
  fabric_.clock = options.clock != nullptr ? options.clock : &system_clock_;
  fabric_.network = options.network;
  fabric_.engine = options.engine;
  fabric_.resolver = [&device](uint32_t id) { return device.map_by_id(id); };
  for (uint32_t i = 0; i < options.workers; ++i) fabric_.bells.push_back(std::make_unique<Bell>());
  for (size_t what = 0; what < kClasses; ++what)
    for (uint32_t from = 0; from < options.workers; ++from)
      for (uint32_t to = 0; to < options.workers; ++to)
        fabric_.rings.push_back(from == to ? nullptr : std::make_unique<HandOver>(kRingPackets));
}

Result<std::unique_ptr<Card>> Card::create(device::Device& device, const CardOptions& options) {
  if (options.workers == 0 || options.workers > device.cpus())
    return make_error(ErrorKind::kBadInput, "card", "{} workers: 1 to {}, for which per-CPU maps have a copy",
                      options.workers, device.cpus());
  if (exec::make_engine(options.engine) == nullptr)
    return make_error(ErrorKind::kBadInput, "card", "there is no engine named '{}'", options.engine);
  std::unique_ptr<Card> card(new Card(device, options));
  XNIC_ASSIGN(card->fabric_.memory, frame::Memory::create(options.workers, options.frames_per_worker));
  auto config = std::make_unique<Config>();
  config->index(options.workers);
  card->fabric_.config.store(config.get());
  card->config_ = std::move(config);
  for (uint32_t i = 0; i < options.workers; ++i) card->workers_.push_back(std::make_unique<Worker>(card->fabric_, i));
  device.set_port_listener(card.get());
  return card;
}

Card::~Card() {
  if (config_ == nullptr) return;  // create() failed half way
  device_.set_port_listener(nullptr);
  stop();
  for (const PortView& port : config_->ports) {
    if (port.state->options.side_of == 0) device_.remove_port(port.state->ifindex);
    close_port(*port.state);
  }
}

std::unique_ptr<Config> Card::copy_config() const {
  auto copy = std::make_unique<Config>();
  copy->ports = config_->ports;
  copy->trace = config_->trace;
  return copy;
}

void Card::on_all_workers(const std::function<void(Worker&)>& work) {
  for (auto& worker : workers_) worker->call([&] { work(*worker); });
}

// Pre: mutex_ is held.
void Card::publish(std::unique_ptr<Config> next) {
  next->index(fabric_.workers);
  const std::unique_ptr<const Config> old = std::exchange(config_, std::move(next));
  fabric_.config.store(config_.get(), std::memory_order_release);
  on_all_workers([](Worker&) {});
}

Result<PortView*> Card::port_to_change(Config& config, uint32_t ifindex) const {
  config.index(fabric_.workers);
  PortView* port = config.find(ifindex);
  if (port == nullptr) return make_error(ErrorKind::kBadInput, "port", "there is none with index {}", ifindex);
  return port;
}

Result<void> Card::check_port(const port::Port& port, const PortOptions& options) const {
  const port::Info& info = port.info();
  const auto bad = [&](std::string_view why) { return make_error(ErrorKind::kBadInput, info.name, "{}", why); };
  if (config_->ports.size() == kMaxPorts)
    return make_error(ErrorKind::kLimit, info.name, "a card has {} ports at most", kMaxPorts);
  if (info.queues == 0 || info.queues > kMaxQueues || options.rx_queues > kMaxQueues)
    return bad("a port has 1 to 256 queues");
  if (info.ifindex == 0 || config_->find(info.ifindex) != nullptr) return bad("its index is taken, or 0");
  for (const PortView& other : config_->ports)
    if (other.state->port->info().name == info.name) return bad("its name is taken");
  if (!options.engine.empty() && exec::make_engine(options.engine) == nullptr) return bad("there is no such engine");
  if (options.side_of == 0) return options.host ? bad("a host side is the side of a port") : Result<void>{};
  const PortView* parent = config_->find(options.side_of);
  if (parent == nullptr || parent->state->options.side_of != 0) return bad("the port that it is a side of isn't there");
  if (options.host && parent->host != 0) return bad("the port has a host side already");
  if (options.rx_queues != 0) return bad("a side has no program to spread packets for");
  return {};
}

Result<void> Card::add_port(std::unique_ptr<port::Port> port, PortOptions options) {
  std::lock_guard lock(mutex_);
  XNIC_TRY(check_port(*port, options));
  const std::string name = port->info().name;
  PortView view;
  view.features = options.features;
  view.engine = options.engine;
  view.state = std::make_shared<PortState>(std::move(port), std::move(options), fabric_.workers);
  const PortState& state = *view.state;
  if (state.spread) view.rss = std::make_shared<Rss>(RssOptions::spread(state.queues));
  if (state.options.side_of == 0 && !device_.add_port(state.ifindex, name, state.queues))
    return make_error(ErrorKind::kBadInput, name, "the device has a port with its index or name");
  auto next = copy_config();
  next->ports.push_back(std::move(view));
  publish(std::move(next));
  return {};
}

// The frames that the port holds go back, by the workers whose they are.
void Card::close_port(PortState& state) {
  for (uint32_t queue = 0; queue < state.port->info().queues; ++queue) {
    const uint32_t owner = (state.options.first_worker + queue) % fabric_.workers;
    workers_[owner]->call([&] { state.port->close(queue, fabric_.memory->pool(owner)); });
  }
  on_all_workers([&](Worker& worker) { worker.forget(state); });
  for (const auto& side : state.sides) side->counters.add_to(retired_);
}

Result<void> Card::remove_port(uint32_t ifindex) {
  std::vector<std::shared_ptr<PortState>> removed;
  {
    std::lock_guard lock(mutex_);
    if (config_->find(ifindex) == nullptr)
      return make_error(ErrorKind::kBadInput, "port", "there is none with index {}", ifindex);
    auto next = copy_config();
    std::erase_if(next->ports, [&](const PortView& port) {
      const bool goes = port.state->ifindex == ifindex || port.state->options.side_of == ifindex;
      if (goes) removed.push_back(port.state);
      return goes;
    });
    publish(std::move(next));
    for (const auto& state : removed) close_port(*state);
    std::erase_if(attach_errors_, [&](const auto& error) { return error.first == ifindex; });
  }
  for (const auto& state : removed)
    if (state->options.side_of == 0) device_.remove_port(state->ifindex);
  return {};
}

// Called by the device. The new program is compiled for every worker before the first packet sees it.
int Card::program_changes(uint32_t ifindex, std::shared_ptr<const exec::LoadedProgram> program) {
  std::lock_guard lock(mutex_);
  const PortView* now = config_->find(ifindex);
  if (now == nullptr) return 0;  // a port of the device that is none of this card's
  std::shared_ptr<Attachment> attachment;
  if (program != nullptr) {
    const std::string& wanted = now->engine;
    auto made = Attachment::make(std::move(program), wanted.empty() ? options_.engine : wanted, fabric_.workers,
                                 fabric_.resolver);
    std::erase_if(attach_errors_, [&](const auto& error) { return error.first == ifindex; });
    if (!made) {
      const bool unsupported = made.error().kind == ErrorKind::kUnsupported;
      attach_errors_.emplace_back(ifindex, std::move(made.error()));
      return unsupported ? -EOPNOTSUPP : -EIO;
    }
    attachment = std::move(*made);
  }
  auto next = copy_config();
  next->index(fabric_.workers);
  next->find(ifindex)->program = std::move(attachment);
  publish(std::move(next));
  // What workers found out for packets of programs that are gone is of no use any more; freed here, not by them.
  for (auto& worker : workers_) {
    std::unique_ptr<WorkerProgram> orphan;
    worker->call([&] { orphan = worker->take_orphan(); });
  }
  return 0;
}

Result<void> Card::set_filters(uint32_t ifindex, std::vector<Filter> filters) {
  std::lock_guard lock(mutex_);
  auto next = copy_config();
  XNIC_ASSIGN(PortView* const port, port_to_change(*next, ifindex));
  if (port->state->options.side_of != 0)
    return make_error(ErrorKind::kBadInput, "filter", "a side of a port has no filters: set them on the port");
  for (const Filter& filter : filters) {
    const Destination& to = filter.destination;
    if (to.kind == DestinationKind::kPort && next->find(to.number) == nullptr)
      return make_error(ErrorKind::kBadInput, "filter", "its destination, port {}, isn't there", to.number);
    if (to.kind == DestinationKind::kQueue && to.number >= port->state->queues)
      return make_error(ErrorKind::kBadInput, "filter", "queue {}: the port has {}", to.number, port->state->queues);
  }
  if (filters.empty()) {
    port->filters.reset();
  } else {
    XNIC_ASSIGN(port->filters, FilterTable::make(std::move(filters)));
  }
  publish(std::move(next));
  return {};
}

Result<void> Card::set_rss(uint32_t ifindex, const RssOptions& options) {
  std::lock_guard lock(mutex_);
  auto next = copy_config();
  XNIC_ASSIGN(PortView* const port, port_to_change(*next, ifindex));
  if (!port->state->spread)
    return make_error(ErrorKind::kBadInput, port->state->port->info().name, "the card spreads no queues for this port");
  for (const uint16_t queue : options.table)
    if (queue >= port->state->queues)
      return make_error(ErrorKind::kBadInput, "rss", "queue {}: the port has {}", queue, port->state->queues);
  port->rss = std::make_shared<Rss>(options);
  publish(std::move(next));
  return {};
}

Result<void> Card::set_features(uint32_t ifindex, const Features& features) {
  std::lock_guard lock(mutex_);
  auto next = copy_config();
  XNIC_ASSIGN(PortView* const port, port_to_change(*next, ifindex));
  if (features.insert_vlan_id != kNoVlan && features.insert_vlan_id > 4094)
    return make_error(ErrorKind::kBadInput, "features", "VLAN {}: ids are 0 to 4094", features.insert_vlan_id);
  port->features = features;
  publish(std::move(next));
  return {};
}

Result<void> Card::set_engine(uint32_t ifindex, const std::string& engine) {
  std::lock_guard lock(mutex_);
  auto next = copy_config();
  XNIC_ASSIGN(PortView* const port, port_to_change(*next, ifindex));
  if (!engine.empty() && exec::make_engine(engine) == nullptr)
    return make_error(ErrorKind::kBadInput, port->state->port->info().name, "there is no engine named '{}'", engine);
  port->engine = engine;
  publish(std::move(next));
  return {};
}

Result<void> Card::set_trace(const std::optional<TraceOptions>& options) {
  std::lock_guard lock(mutex_);
  auto next = copy_config();
  next->trace.reset();
  if (options) {
    auto filter = std::make_shared<TraceFilter>();
    filter->options = *options;
    if (options->match.fields != 0) {
      XNIC_ASSIGN(filter->match, FilterTable::make({{options->match, FilterMode::kSteal, {}}}));
    }
    next->trace = std::move(filter);
  }
  publish(std::move(next));
  return {};
}

bool Card::start() {
  std::lock_guard lock(mutex_);
  if (std::exchange(started_, true)) return true;
  fabric_.receiving.store(true);
  bool pinned = true;
  for (uint32_t i = 0; i < fabric_.workers; ++i)
    pinned &= workers_[i]->start(i < options_.cpus.size() ? options_.cpus[i] : -1);
  return pinned;
}

void Card::stop() {
  std::lock_guard lock(mutex_);
  for (auto& worker : workers_) worker->stop();
  started_ = false;
}

bool Card::drain(uint64_t timeout_ns) {
  std::lock_guard lock(mutex_);
  CHECK(started_);
  fabric_.receiving.store(false);
  const uint64_t end_ns = system_clock_.monotonic_ns() + timeout_ns;
  for (;;) {
    on_all_workers([](Worker&) {});
    if (under_way() == 0) return true;
    if (system_clock_.monotonic_ns() >= end_ns) return false;
    const timespec nap{0, 100'000};
    nanosleep(&nap, nullptr);
  }
}

void Card::resume() {
  std::lock_guard lock(mutex_);
  fabric_.receiving.store(true);
  on_all_workers([](Worker&) {});
}

}  // namespace xnic::nic::datapath
