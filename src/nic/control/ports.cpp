// SPDX-License-Identifier: Apache-2.0
// The card and its ports.
#include <net/if.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

#include "nic/control/service.hpp"
#include "nic/port/tap.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {
constexpr uint64_t kDrainNs = 1'000'000'000;
}

Service::Service(const Config& config, Log log) : config_(config), log_(std::move(log)) {}

Result<std::unique_ptr<Service>> Service::create(const Config& config, Log log) {
  std::unique_ptr<Service> service(new Service(config, std::move(log)));
  datapath::CardOptions options;
  options.workers = config.card.workers;
  options.cpus = config.card.cpus;
  options.frames_per_worker = config.card.frames;
  options.spin_polls = config.card.spin_polls;
  options.engine = config.card.engine;
  XNIC_ASSIGN(service->card_, datapath::Card::create(service->device_, options));
  return service;
}

Service::~Service() {
  if (started_) card_->stop();
  ports_.clear();  // links first, then the card with its ports
}

Result<void> Service::open() {
  std::lock_guard lock(mutex_);
  for (const PortConfig& config : config_.ports) {
    XNIC_ASSIGN(Port* const port, open_port(config));
    if (config.program.empty()) continue;
    if (auto attached = attach(*port, configured_.at(config.program), config.program_name, ""); !attached)
      return base::Unexpected(base::Error{attached.error().kind, config.where, attached.error().message()});
  }
  configured_.clear();
  // Filters name ports: all of them are there now.
  for (const PortConfig& config : config_.ports) XNIC_TRY(apply(ports_.at(config.info.name), config.settings));
  return {};
}

void Service::run() {
  std::lock_guard lock(mutex_);
  started_ = true;
  if (!card_->start())
    log_(Level::kWarning, "a worker could not be bound to its processor and runs on any: see [card] cpus");
}

bool Service::stop() {
  std::lock_guard lock(mutex_);
  if (!started_) return true;
  started_ = false;
  const bool drained = card_->drain(kDrainNs);
  card_->stop();
  return drained;
}

uint32_t Service::free_ifindex(uint32_t from) const {
  uint32_t ifindex = from;
  const auto taken = [&] {
    return std::ranges::any_of(card_->ports(), [&](const auto& port) { return port.ifindex == ifindex; }) ||
           std::ranges::any_of(config_.ports, [&](const auto& port) { return port.info.ifindex == ifindex; });
  };
  while (taken()) ++ifindex;
  return ifindex;
}

Result<std::unique_ptr<port::Port>> Service::make_port(const PortConfig& config) {
  if (const auto* memory = std::get_if<port::MemoryOptions>(&config.options))
    return port::open_memory(config.info, *memory);
  if (const auto* tap = std::get_if<TapConfig>(&config.options))
    return port::open_tap(config.info, tap->interface, clock_);
  if (const auto* capture = std::get_if<port::CaptureOptions>(&config.options))
    return port::open_capture(config.info, *capture, clock_);
  return port::open_af_xdp(config.info, std::get<port::AfXdpOptions>(config.options), card_->memory(), clock_);
}

Result<std::unique_ptr<port::Port>> Service::behind_bad_link(std::unique_ptr<port::Port> port,
                                                             const port::FaultOptions& options,
                                                             port::FaultPort*& faults) {
  XNIC_ASSIGN(std::unique_ptr<port::FaultPort> wrapped, port::wrap_with_faults(std::move(port), options, clock_));
  faults = wrapped.get();
  return wrapped;
}

namespace {

// A queue of an af_xdp port holds this many frames of its worker: in the kernel to receive into, and on the way out.
uint32_t frames_of_queue(const PortConfig& config) {
  const auto* options = std::get_if<port::AfXdpOptions>(&config.options);
  return options == nullptr ? 0 : 2 * options->entries;
}
// What a worker needs beside them for the packets in its hands.
constexpr uint32_t kFramesInHand = 256;

}  // namespace

// A worker whose frames all lie with one port receives nothing from the next.
Result<void> Service::reserve_frames(const PortConfig& config) {
  std::vector<uint32_t> wanted = reserved_frames_;
  wanted.resize(card_->workers());
  for (uint32_t queue = 0; queue < config.info.queues; ++queue) {
    uint32_t& worker = wanted[(config.first_worker + queue) % wanted.size()];
    worker += frames_of_queue(config);
    if (frames_of_queue(config) != 0 && worker + kFramesInHand > config_.card.frames)
      return make_error(ErrorKind::kLimit, config.where,
                        "its queues hold {} packet buffers each, and a worker's {} do not suffice for all ports: raise "
                        "[card] frames to {} or lower entries",
                        frames_of_queue(config), config_.card.frames, std::bit_ceil(worker + kFramesInHand));
  }
  reserved_frames_ = std::move(wanted);
  return {};
}

void Service::release_frames(const PortConfig& config) {
  for (uint32_t queue = 0; queue < config.info.queues; ++queue)
    reserved_frames_[(config.first_worker + queue) % reserved_frames_.size()] -= frames_of_queue(config);
}

Result<Service::Port*> Service::open_port(PortConfig config) {
  if (ports_.contains(config.info.name))
    return make_error(ErrorKind::kBadInput, config.where, "there is a port named \"{}\"", config.info.name);
  if (config.first_worker >= card_->workers())
    return make_error(ErrorKind::kBadInput, config.where, "first_worker: {}, and the card has {} workers, from 0",
                      config.first_worker, card_->workers());
  if (config.info.ifindex == 0) {
    // A port that takes an interface has that interface's index, so that tools know both by one number.
    const auto* af_xdp = std::get_if<port::AfXdpOptions>(&config.options);
    const uint32_t taken = af_xdp != nullptr ? if_nametoindex(af_xdp->interface.c_str()) : 0;
    config.info.ifindex = taken != 0 ? free_ifindex(taken) : free_ifindex();
  }
  XNIC_TRY(reserve_frames(config));
  auto made = make_port(config);
  port::FaultPort* faults = nullptr;
  if (made && config.faults) made = behind_bad_link(std::move(*made), *config.faults, faults);
  if (!made) release_frames(config);
  if (!made) return base::Unexpected(base::Error{made.error().kind, config.where, made.error().message()});
  datapath::PortOptions options;
  options.rx_queues = config.rx_queues;
  options.first_worker = config.first_worker;
  options.engine = config.engine;
  options.features = config.settings.features.value_or(datapath::Features{});
  port::Port* const port = made->get();
  if (auto added = card_->add_port(std::move(*made), options); !added) {
    release_frames(config);
    return base::Unexpected(base::Error{added.error().kind, config.where, added.error().message()});
  }
  const std::string name = config.info.name;
  Port& entry = ports_[name];
  entry.config = std::move(config);
  entry.port = port;
  entry.faults = faults;
  entry.engine = entry.config.engine.empty() ? config_.card.engine : entry.config.engine;
  if (!entry.config.host.empty()) {
    if (auto host = add_host(entry); !host) {
      release_frames(entry.config);
      if (auto removed = card_->remove_port(port->info().ifindex); removed) ports_.erase(name);
      return base::Unexpected(std::move(host.error()));
    }
  }
  log_(Level::kInfo, fmt::format("port {}: {} with index {}, {} queues", name, port->info().kind, port->info().ifindex,
                                 port->info().queues));
  return &entry;
}

// The host's side of a port: what its program passes reaches the host's network stack by a TAP interface, and what the
// host sends there goes out of the port.
Result<void> Service::add_host(Port& port) {
  const port::Info& info = port.port->info();
  port::Info host;
  host.name = info.name + "/host";
  host.ifindex = free_ifindex();
  host.mac = info.mac;
  host.mtu = info.mtu;
  auto tap = port::open_tap(std::move(host), port.config.host, clock_);
  if (!tap) return base::Unexpected(base::Error{tap.error().kind, port.config.where, tap.error().message()});
  datapath::PortOptions options;
  options.side_of = info.ifindex;
  options.host = true;
  options.first_worker = port.config.first_worker;
  port.host = tap->get();
  if (auto added = card_->add_port(std::move(*tap), options); !added) {
    port.host = nullptr;
    return base::Unexpected(base::Error{added.error().kind, port.config.where, added.error().message()});
  }
  return {};
}

Result<Service::Port*> Service::find_port(const std::string& name) {
  const auto port = ports_.find(name);
  if (port != ports_.end()) return &port->second;
  std::string names;
  for (const auto& [other, entry] : ports_) names += (names.empty() ? "" : ", ") + other;
  return make_error(ErrorKind::kBadInput, name, "there is no port of this name; there are: {}",
                    names.empty() ? "none" : names);
}

Result<void> Service::close_port(const std::string& name) {
  XNIC_ASSIGN(Port* const port, find_port(name));
  const uint32_t ifindex = port->port->info().ifindex;
  if (port->program != nullptr) XNIC_TRY(detach(*port));
  XNIC_TRY(card_->remove_port(ifindex));
  release_frames(port->config);
  ports_.erase(name);
  log_(Level::kInfo, fmt::format("port {}: removed", name));
  return {};
}

void Service::tick() {
  std::lock_guard lock(mutex_);
  for (auto& [name, port] : ports_) {
    const auto status = port.port->status();
    if (status.has_value() == port.was_up) continue;
    port.was_up = status.has_value();
    if (port.was_up)
      log_(Level::kInfo, fmt::format("port {}: up", name));
    else
      log_(Level::kWarning, fmt::format("port {}: down: {}", name, status.error().message()));
  }
  std::map<uint32_t, uint64_t> aborts;
  card_->read_aborts([&](const datapath::TraceRecord& record) { ++aborts[record.ingress_ifindex]; });
  for (const auto& [ifindex, count] : aborts) {
    for (const auto& [name, port] : ports_)
      if (port.port->info().ifindex == ifindex)
        log_(Level::kWarning, fmt::format("port {}: its program aborted {} packets or more: see xnic trace --filter "
                                          "verdict=aborted",
                                          name, count));
  }
}

}  // namespace xnic::nic::control
