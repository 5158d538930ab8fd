// SPDX-License-Identifier: Apache-2.0
// Running programs and carrying out what they say, with the rules of Linux (net/core/filter.c, kernel/bpf/devmap.c,
// kernel/bpf/cpumap.c): the program of a devmap entry lets packets out by PASS and nothing else, that of a cpumap entry
// may pass or redirect; a broadcast goes to every entry, the original to the last.
#include <linux/bpf.h>

#include <algorithm>
#include <utility>

#include "nic/datapath/worker.hpp"

namespace xnic::nic::datapath {

using exec::Redirect;
using exec::RedirectKind;
using exec::Verdict;
using port::count;

WorkerProgram& Worker::program_of(const PortView& port) {
  return port.program != nullptr ? *port.program->workers[index_] : *orphan_;
}

// False: the engine failed, and no packet has a verdict.
bool Worker::run_engine(exec::Engine* engine, Batch packets, std::span<Verdict> verdicts) {
  return engine != nullptr && engine->run(packets, verdicts.first(packets.size()), context_).has_value();
}

void Worker::run_program(const PortView& port, Batch packets) {
  if (packets.empty()) return;
  const std::span<Verdict> verdicts(verdicts_.data(), packets.size());
  if (port.program == nullptr) {
    for (Verdict& verdict : verdicts) verdict = {arch::ebpf::kXdpPass, {}};
  } else if (!run_engine(port.program->workers[index_]->engine(), packets, verdicts)) {
    for (Verdict& verdict : verdicts) verdict = {arch::ebpf::kXdpAborted, {}};
  }
  count_verdicts(port, packets, verdicts);
  if (config_->trace != nullptr)
    trace_batch(*config_->trace, trace_, packets, verdicts, port.state->mac, index_, fabric_.clock->monotonic_ns());
  carry_out(port, packets, verdicts);
}

// A batch is mostly of one queue: added up before it is counted.
void Worker::count_verdicts(const PortView& port, Batch packets, std::span<const Verdict> verdicts) {
  WorkerCounters& counters = counters_of(port);
  const uint32_t last_queue = port.state->queues - 1;
  for (size_t i = 0; i < packets.size();) {
    const uint32_t queue = packets[i].rx_queue;
    std::array<uint64_t, kActionCount> sums{};
    for (; i < packets.size() && packets[i].rx_queue == queue; ++i) ++sums[verdicts[i].action()];
    for (size_t action = 0; action < kActionCount; ++action)
      if (sums[action] != 0) count(counters.verdicts[std::min(queue, last_queue)][action], sums[action]);
  }
}

// Packets with the same verdict that stand side by side are treated together.
void Worker::carry_out(const PortView& port, Batch packets, std::span<const Verdict> verdicts) {
  WorkerCounters& counters = counters_of(port);
  for (size_t first = 0, last = 0; first < packets.size(); first = last) {
    const uint32_t action = verdicts[first].action();
    while (last < packets.size() && verdicts[last].action() == action) ++last;
    const Batch same = packets.subspan(first, last - first);
    switch (action) {
      case arch::ebpf::kXdpDrop:
        drop(same, counters, Drop::kProgram);
        break;
      case arch::ebpf::kXdpPass:
        to_host(port, same);
        break;
      case arch::ebpf::kXdpTx:
        out(port, same);
        break;
      case arch::ebpf::kXdpRedirect:
        for (size_t at = first; at < last;)
          at += redirect(port, packets.subspan(at, last - at), verdicts.subspan(at, last - at), false);
        break;
      default:
        for (size_t i = first; i < last; ++i)
          aborts_.add(packets[i], verdicts[i], index_, kTraceBytes, fabric_.clock->monotonic_ns());
        aborts_.publish();
        drop(same, counters, Drop::kAborted);
        break;
    }
  }
}

void Worker::to_host(const PortView& port, Batch packets) {
  const PortView* host = port.host == 0 ? nullptr : config_->find(port.host);
  if (host != nullptr)
    out(*host, packets);
  else
    drop(packets, counters_of(port), Drop::kNoHost);
}

// Carries out the first redirect, and those behind it that are the same. Returns how many packets that were.
size_t Worker::redirect(const PortView& port, Batch packets, std::span<const Verdict> verdicts, bool from_cpumap) {
  const Redirect& first = verdicts[0].redirect;
  size_t same = 1;
  while (same < packets.size() && verdicts[same].action() == arch::ebpf::kXdpRedirect &&
         verdicts[same].redirect == first)
    ++same;
  packets = packets.first(same);
  WorkerCounters& counters = counters_of(port);
  const PortView* to = nullptr;
  switch (first.kind) {
    case RedirectKind::kInterface:
      to = config_->find(first.target);
      break;
    case RedirectKind::kDevmap:
      return through_devmap(port, packets, verdicts);
    case RedirectKind::kCpumap:
      if (from_cpumap) break;  // once from worker to worker; see Class
      to_worker(port, first, packets);
      return same;
    case RedirectKind::kXskmap:
      // The entry's value is the number of a side of some port: a virtual interface.
      if (exec::maps::Map* map = program_of(port).map(first.map_id)) {
        to = config_->find(entry_value(*map, first.target).target);
        if (to != nullptr && to->state->options.side_of == 0) to = nullptr;
      }
      break;
    case RedirectKind::kNone:
      break;
  }
  if (to != nullptr)
    out(*to, packets);
  else
    drop(packets, counters, Drop::kNoTarget);
  return same;
}

size_t Worker::through_devmap(const PortView& port, Batch packets, std::span<const Verdict> verdicts) {
  const Redirect& redirect = verdicts[0].redirect;
  exec::maps::Map* map = program_of(port).map(redirect.map_id);
  if (map == nullptr) {
    drop(packets, counters_of(port), Drop::kNoTarget);
  } else if ((redirect.flags & BPF_F_BROADCAST) != 0) {
    for (Packet& packet : packets) broadcast(port, *map, redirect.flags, packet);
  } else {
    through_entry(port, *map, redirect.target, entry_value(*map, redirect.target), packets);
  }
  return packets.size();
}

void Worker::broadcast(const PortView& port, exec::maps::Map& map, uint64_t flags, Packet& packet) {
  const auto wanted = [&](const EntryValue& value) {
    if (value.target == 0 || config_->find(value.target) == nullptr) return false;
    return (flags & BPF_F_EXCLUDE_INGRESS) == 0 || value.target != packet.ingress_ifindex;
  };
  uint32_t key = 0, last_key = 0;
  EntryValue last;  // the one found before: it gets a copy when there is a further one
  for (int more = map.host_next_key(nullptr, &key); more == 0;) {
    const EntryValue value = entry_value(map, key);
    if (wanted(value)) {
      Packet* copy = last.target == 0 ? nullptr : copy_of(packet, counters_of(port));
      if (copy != nullptr) through_entry(port, map, last_key, last, {copy, 1});
      last = value;
      last_key = key;
    }
    const uint32_t from = key;
    more = map.host_next_key(&from, &key);
  }
  if (last.target != 0)
    through_entry(port, map, last_key, last, {&packet, 1});
  else
    drop({&packet, 1}, counters_of(port), Drop::kNoTarget);
}

void Worker::through_entry(const PortView& port, exec::maps::Map& map, uint32_t key, EntryValue value, Batch packets) {
  WorkerCounters& counters = counters_of(port);
  const PortView* to = value.target == 0 ? nullptr : config_->find(value.target);
  if (to == nullptr) {
    drop(packets, counters, Drop::kNoTarget);
    return;
  }
  if (value.program_id == 0) {
    out(*to, packets);
    return;
  }
  for (Packet& packet : packets) packet.egress_ifindex = value.target;
  const bool ran = run_engine(program_of(port).entry_engine(map, key, value.program_id), packets, entry_verdicts_);
  for (size_t i = 0; i < packets.size(); ++i) {
    packets[i].egress_ifindex = 0;
    if (ran && entry_verdicts_[i].action() == arch::ebpf::kXdpPass)
      out(*to, packets.subspan(i, 1));
    else
      drop(packets.subspan(i, 1), counters, Drop::kEntryProgram);
  }
}

void Worker::to_worker(const PortView& port, const Redirect& redirect, Batch packets) {
  const Errand errand{redirect.target, redirect.map_id};
  if (redirect.target == index_) {
    run_cpumap(port, errand, packets);
    return;
  }
  if (redirect.target >= fabric_.workers) {
    drop(packets, counters_of(port), Drop::kNoTarget);
    return;
  }
  // The entry's queue size bounds what is on its way to that worker, from all workers.
  exec::maps::Map* map = program_of(port).map(redirect.map_id);
  const uint32_t size = map == nullptr ? 0 : entry_value(*map, redirect.target).target;
  uint64_t filled = 0;
  for (uint32_t from = 0; from < fabric_.workers; ++from)
    if (from != redirect.target) filled += fabric_.ring(Class::kCpu, from, redirect.target).filled();
  const size_t fits = std::min<size_t>(packets.size(), filled < size ? size - filled : 0);
  for (Packet& packet : packets.first(fits)) hand_over(Class::kCpu, redirect.target, packet, errand, counters_of(port));
  drop(packets.subspan(fits), counters_of(port), size == 0 ? Drop::kNoTarget : Drop::kHandOverFull);
}

// On the worker that the entry names.
void Worker::run_cpumap(const PortView& port, const Errand& errand, Batch packets) {
  WorkerCounters& counters = counters_of(port);
  WorkerProgram& program = program_of(port);
  exec::maps::Map* map = program.map(errand.map_id);
  const EntryValue value = map == nullptr ? EntryValue{} : entry_value(*map, errand.target);
  if (value.target == 0) {
    drop(packets, counters, Drop::kNoTarget);
    return;
  }
  if (value.program_id == 0) {
    to_host(port, packets);
    return;
  }
  const std::span<const Verdict> verdicts(cpu_verdicts_.data(), packets.size());
  const bool ran = run_engine(program.entry_engine(*map, errand.target, value.program_id), packets, cpu_verdicts_);
  for (size_t i = 0; i < packets.size();) {
    const uint32_t action = ran ? verdicts[i].action() : uint32_t{arch::ebpf::kXdpAborted};
    if (action == arch::ebpf::kXdpRedirect) {
      i += redirect(port, packets.subspan(i), verdicts.subspan(i), true);
      continue;
    }
    if (action == arch::ebpf::kXdpPass)
      to_host(port, packets.subspan(i, 1));
    else
      drop(packets.subspan(i, 1), counters, Drop::kEntryProgram);
    ++i;
  }
}

}  // namespace xnic::nic::datapath
