// SPDX-License-Identifier: Apache-2.0
// Four lanes, so that each thing is shown on its own: one that may lose nothing, one whose receiver naps, one behind a
// bad link in both directions that two workers share, and one through a device map whose entry changes, half of it
// behind a bad link.
#include "rig.hpp"

#include <linux/bpf.h>
#include <unistd.h>

#include <cstring>

#include "base/check.hpp"
#include "base/file.hpp"
#include "nic/port/memory.hpp"

namespace xnic::tests::soak {

using base::Result;
using nic::datapath::Totals;
using nic::port::FaultCounters;
using nic::port::FaultPort;

namespace {

// Indexes of the ports.
enum : uint32_t { kExact = 3, kNapping = 4, kBadLink = 5, kEntry = 6, kFarPlain = 7, kFarBad = 8 };

nic::port::FaultRates rates(uint32_t ppm) {
  return {.drop_ppm = ppm,
          .duplicate_ppm = ppm,
          .reorder_ppm = ppm,
          .corrupt_ppm = ppm,
          .delay_ppm = ppm,
          .stall_ppm = ppm / 10,
          .delay_ns = 300'000,
          .stall_ns = 500'000};
}

void add(std::vector<std::pair<std::string, uint64_t>>& list, const std::string& name, uint64_t count) {
  if (count == 0) return;
  for (auto& [other, sum] : list)
    if (other == name) return void(sum += count);
  list.emplace_back(name, count);
}

}  // namespace

bool Account::balanced() const {
  uint64_t in = sent, out = received;
  for (const auto& [name, count] : added) in += count;
  for (const auto& [name, count] : lost) out += count;
  return in == out;
}

Result<std::unique_ptr<Rig>> Rig::create(const RigOptions& options) {
  std::unique_ptr<Rig> rig(new Rig(options));
  XNIC_TRY(rig->build());
  return rig;
}

Rig::~Rig() {
  for (const auto& [ifindex, link] : links_) ::close(link);
}

Result<void> Rig::build() {
  nic::datapath::CardOptions card;
  card.workers = options_.workers;
  card.engine = options_.engine;
  card.seed = options_.seed;
  card.spin_polls = 100;
  XNIC_ASSIGN(card_, nic::datapath::Card::create(device_, card));
  const uint32_t last = options_.workers - 1;
  XNIC_TRY(add_port(kHostile, false, false, 0, 0));
  XNIC_TRY(add_port(kExact, true, false, 0, 0));
  XNIC_TRY(add_port(kNapping, false, false, 0, last));
  XNIC_TRY(add_port(kBadLink, false, true, options_.workers, 0));
  XNIC_TRY(add_port(kEntry, true, false, 0, last));
  XNIC_TRY(add_port(kFarPlain, true, false, 0, 0));
  XNIC_TRY(add_port(kFarBad, false, true, 0, last));
  paths_.push_back({"lossless", std::make_unique<Lane>(1, 1), kExact, {kExact}, true, false, true});
  paths_.push_back({"napping peer", std::make_unique<Lane>(2, 1), kNapping, {kNapping}, false, true, true});
  paths_.push_back({"bad link", std::make_unique<Lane>(3, 16), kBadLink, {kBadLink}, false, false, true});
  paths_.push_back({"redirect", std::make_unique<Lane>(4, 1), kEntry, {kFarPlain, kFarBad}, false, false, false});
  XNIC_ASSIGN(returning_elf_, base::read_file(options_.programs + "/tx.bpf.o"));
  XNIC_TRY(replace_programs());
  XNIC_ASSIGN(device::Object redirecting, device::Object::load(device_, options_.programs + "/redirect_map.bpf.o"));
  redirecting_ = std::make_unique<device::Object>(std::move(redirecting));
  turn_redirect();
  return attach(kEntry, *redirecting_);
}

Result<void> Rig::add_port(uint32_t ifindex, bool lossless, bool faults, uint32_t rx_queues, uint32_t first_worker) {
  nic::port::Info info;
  info.name = "port" + std::to_string(ifindex);
  info.ifindex = ifindex;
  info.lossless = lossless;
  nic::port::MemoryOptions memory;
  memory.path = socket(ifindex);
  XNIC_ASSIGN(std::unique_ptr<nic::port::Port> port, nic::port::open_memory(info, memory));
  PortOfLane entry{port.get(), nullptr};
  if (faults) {
    const nic::port::FaultRates both = rates(options_.fault_ppm);
    const nic::port::FaultOptions bad{both, both, options_.seed + ifindex};
    XNIC_ASSIGN(std::unique_ptr<FaultPort> wrapped, nic::port::wrap_with_faults(std::move(port), bad, clock_));
    entry = {wrapped.get(), wrapped.get()};
    port = std::move(wrapped);
  }
  ports_[ifindex] = entry;
  nic::datapath::PortOptions options;
  options.rx_queues = rx_queues;
  options.first_worker = first_worker;
  return card_->add_port(std::move(port), options);
}

Result<void> Rig::attach(uint32_t ifindex, const device::Object& object) {
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  const auto link = links_.find(ifindex);
  long result = 0;
  if (link == links_.end()) {
    attr.link_create.prog_fd = static_cast<uint32_t>(object.programs()[0].fd);
    attr.link_create.target_ifindex = ifindex;
    attr.link_create.attach_type = BPF_XDP;
    result = device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr);
    if (result >= 0) links_[ifindex] = static_cast<int>(result);
  } else {
    attr.link_update.link_fd = static_cast<uint32_t>(link->second);
    attr.link_update.new_prog_fd = static_cast<uint32_t>(object.programs()[0].fd);
    result = device_.bpf(BPF_LINK_UPDATE, &attr, sizeof attr);
  }
  if (result >= 0) return {};
  if (auto why = card_->attach_error(ifindex)) return base::Unexpected(std::move(*why));
  return base::make_error(base::ErrorKind::kIo, "attach", "{}", std::strerror(static_cast<int>(-result)));
}

Result<void> Rig::replace_programs() {
  XNIC_ASSIGN(device::Object object, device::Object::load_bytes(device_, returning_elf_, "tx.o"));
  for (const uint32_t ifindex : {kHostile, uint32_t{kExact}, uint32_t{kNapping}, uint32_t{kBadLink}})
    XNIC_TRY(attach(ifindex, object));
  if (returning_ != nullptr) replacements_ += 4;
  returning_ = std::make_unique<device::Object>(std::move(object));  // the one before goes
  return {};
}

void Rig::turn_redirect() {
  const uint32_t key = 0, target = map_updates_ % 2 == 0 ? kFarPlain : kFarBad;
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.map_fd = static_cast<uint32_t>(redirecting_->find_map("tx_port")->fd);
  attr.key = reinterpret_cast<uint64_t>(&key);
  attr.value = reinterpret_cast<uint64_t>(&target);
  CHECK(device_.bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof attr) == 0);
  ++map_updates_;
}

uint64_t Rig::counted_by_program() const {
  const uint32_t key = 0;
  std::vector<uint64_t> copies(device_.cpus());
  CHECK(redirecting_->find_map("packets")->map->host_lookup(&key, copies.data(), 0) == 0);
  uint64_t sum = 0;
  for (const uint64_t one : copies) sum += one;
  return sum;
}

uint64_t Rig::sum(const FaultPort& port, std::atomic<uint64_t> FaultCounters::* counter) {
  uint64_t sum = 0;
  for (uint32_t queue = 0; queue < port.info().queues; ++queue)
    sum += (port.receive_faults(queue).*counter).load() + (port.transmit_faults(queue).*counter).load();
  return sum;
}

Account Rig::account(const Path& path) const {
  Account account{path.name, path.lane->seen().sent, path.lane->seen().received, {}, {}};
  std::vector<uint32_t> ports = path.far;
  if (ports[0] != path.entry) ports.push_back(path.entry);
  for (const uint32_t ifindex : ports) {
    const Totals totals = card_->port_totals(ifindex).value_or(Totals{});
    for (size_t reason = 0; reason < nic::datapath::kDropCount; ++reason)
      add(account.lost, std::string(drop_name(static_cast<nic::datapath::Drop>(reason))), totals.drops[reason]);
    add(account.added, "copied", totals.copied);
    const auto& [port, faults] = ports_.at(ifindex);
    const nic::port::Counters& counters = port->counters(0);
    add(account.lost, "port no_frame", counters.drop_no_frame);
    add(account.lost, "port bad", counters.drop_bad);
    add(account.lost, "port too_long", counters.drop_too_long);
    add(account.lost, "port down", counters.drop_down);
    if (faults == nullptr) continue;
    add(account.lost, "fault drop", sum(*faults, &FaultCounters::dropped));
    add(account.added, "fault duplicate", sum(*faults, &FaultCounters::duplicated));
  }
  return account;
}

std::string Rig::complaint(const Path& path) const {
  uint64_t duplicated = 0, held_back = 0, corrupted = 0;
  for (const uint32_t ifindex : path.far) {
    const FaultPort* faults = ports_.at(ifindex).faults;
    if (faults == nullptr) continue;
    duplicated += sum(*faults, &FaultCounters::duplicated);
    held_back += sum(*faults, &FaultCounters::reordered) + sum(*faults, &FaultCounters::delayed);
    corrupted += sum(*faults, &FaultCounters::corrupted);
  }
  const Lane::Seen& seen = path.lane->seen();
  if (!account(path).balanced()) return "packets are missing that nobody counted, or there are too many";
  if (path.exact && (path.lane->missing() != 0 || seen.received != seen.sent)) return "lost packets and may not";
  if (seen.in_order == 0) return "nothing arrived";
  if (seen.duplicates > duplicated) return "got frames twice that no fault duplicated";
  // A corrupted frame may be duplicated on its way out.
  if (seen.changed > corrupted + duplicated) return "got changed frames that no fault corrupted";
  if (path.ordered && seen.late > held_back + duplicated) return "got frames out of order that no fault held back";
  return "";
}

uint64_t Rig::close() {
  card_->stop();
  for (const auto& port : card_->ports()) CHECK(card_->remove_port(port.ifindex));
  uint64_t away = card_->memory().frames();
  for (uint32_t worker = 0; worker < options_.workers; ++worker) away -= card_->memory().pool(worker).free();
  return away;
}

}  // namespace xnic::tests::soak
