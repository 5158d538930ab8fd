// SPDX-License-Identifier: Apache-2.0
// The graph of raw instructions, what calls touch, and the list scheduler.
#include "path_bound.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "arch/ebpf/helpers.hpp"

namespace xnic::bench {

using arch::ebpf::ArgType;
using arch::ebpf::HelperSignature;
using arch::ebpf::Overloaded;
using base::ErrorKind;
using base::make_error;
using base::Result;
namespace ebpf = arch::ebpf;

namespace {

// Of the map that a register holds. An inner map lives in no list of the program's; its template says the sizes.
const ebpf::MapSpec* spec_of(const exec::LoadedProgram& program, uint64_t value) {
  for (const auto& map : program.maps) {
    if (reinterpret_cast<uint64_t>(map.get()) == value) return &map->spec();
  }
  for (const auto& map : program.maps) {
    if (map->spec().inner != nullptr) return map->spec().inner.get();
  }
  return nullptr;
}

void depend(std::vector<uint32_t>& list, int64_t node) {
  if (node >= 0) list.push_back(static_cast<uint32_t>(node));
}

// Registers hold the node that wrote them last, bytes of memory as well.
class Raw {
 public:
  Raw(const exec::LoadedProgram& program, std::span<const TraceStep> trace) : program_(program), trace_(trace) {
    registers_.fill(-1);
  }

  Result<PathGraph> run() {
    for (at_ = 0; at_ < trace_.size(); ++at_) {
      node_ = PathNode{};
      node_.slot = trace_[at_].slot;
      XNIC_TRY(std::visit([this](const auto& insn) { return add(insn); }, program_.program->insns[node_.slot]));
      graph_.push_back(node_);
    }
    return std::move(graph_);
  }

 private:
  uint64_t value(ebpf::Reg reg) const { return trace_[at_].registers[static_cast<size_t>(index(reg))]; }
  int64_t self() const { return static_cast<int64_t>(graph_.size()); }
  void read(ebpf::Reg reg) { depend(node_.after, registers_[static_cast<size_t>(index(reg))]); }
  void read(const ebpf::Operand& operand) {
    if (const auto* reg = std::get_if<ebpf::Reg>(&operand)) read(*reg);
  }
  void write(ebpf::Reg reg) { registers_[static_cast<size_t>(index(reg))] = self(); }
  void read_memory(uint64_t address, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; ++i) {
      if (const auto found = memory_.find(address + i); found != memory_.end()) depend(node_.after, found->second);
    }
  }
  void write_memory(uint64_t address, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; ++i) memory_[address + i] = self();
    effect();
  }
  void effect() { depend(node_.not_before, last_branch_); }

  Result<void> add(const ebpf::Binary& o) {
    read(o.src);
    if (o.op != ebpf::BinaryOp::kMov) read(o.dst);
    write(o.dst);
    return {};
  }
  Result<void> add(const ebpf::MovSx& o) { return read(o.src), write(o.dst), Result<void>{}; }
  Result<void> add(const ebpf::Neg& o) { return read(o.dst), write(o.dst), Result<void>{}; }
  Result<void> add(const ebpf::Swap& o) { return read(o.dst), write(o.dst), Result<void>{}; }
  Result<void> add(const ebpf::LoadImm64& o) { return write(o.dst), Result<void>{}; }
  Result<void> add(const ebpf::LoadMap& o) { return write(o.dst), Result<void>{}; }
  Result<void> add(const ebpf::LoadMapValue& o) { return write(o.dst), Result<void>{}; }
  Result<void> add(const ebpf::LoadPacket& o) {
    if (o.indirect) read(o.src);
    return write(ebpf::Reg::kR0), Result<void>{};
  }
  Result<void> add(const ebpf::Load& o) {
    read(o.src);
    read_memory(value(o.src) + static_cast<uint64_t>(int64_t{o.offset}), bytes(o.size));
    return write(o.dst), Result<void>{};
  }
  Result<void> add(const ebpf::Store& o) {
    read(o.dst);
    read(o.src);
    write_memory(value(o.dst) + static_cast<uint64_t>(int64_t{o.offset}), bytes(o.size));
    return {};
  }
  Result<void> add(const ebpf::Atomic& o) {
    read(o.dst);
    read(o.src);
    if (o.op == ebpf::AtomicOp::kCmpxchg) read(ebpf::Reg::kR0);
    const uint64_t address = value(o.dst) + static_cast<uint64_t>(int64_t{o.offset});
    read_memory(address, bytes(o.size));
    write_memory(address, bytes(o.size));
    if (o.fetch) write(o.op == ebpf::AtomicOp::kCmpxchg ? ebpf::Reg::kR0 : o.src);
    return {};
  }
  Result<void> add(const ebpf::Jump& o) {
    read(o.dst);
    read(o.src);
    effect();
    node_.branch = true;
    last_branch_ = self();
    return {};
  }
  Result<void> add(const ebpf::Goto&) { return {}; }
  Result<void> add(const ebpf::MayGoto&) { return {}; }
  Result<void> add(const ebpf::CallHelper& o) {
    const HelperSignature* signature = ebpf::find_helper(o.id);
    for (size_t i = 0; i < 5 && signature->args[i] != ArgType::kNone; ++i) read(static_cast<ebpf::Reg>(i + 1));
    const auto regions = call_regions(program_, o.id, trace_[at_]);
    for (const CallRegion& region : regions) read_memory(region.address, region.bytes);
    for (const CallRegion& region : regions) {
      if (region.written) write_memory(region.address, region.bytes);
    }
    node_.call = true;
    if (!may_speculate(o.id)) {
      effect();
      depend(node_.after, last_call_);
      last_call_ = self();
    }
    return write(ebpf::Reg::kR0), Result<void>{};
  }
  Result<void> add(const ebpf::CallLocal&) {
    frames_.push_back(registers_);
    return {};
  }
  Result<void> add(const ebpf::Exit&) {
    if (frames_.empty()) {
      read(ebpf::Reg::kR0);
      for (int64_t i = 0; i < self(); ++i) depend(node_.not_before, i);
      return {};
    }
    for (size_t reg = 6; reg <= 10; ++reg) registers_[reg] = frames_.back()[reg];
    frames_.pop_back();
    return {};
  }
  template <class Other>
  Result<void> add(const Other&) {
    return make_error(ErrorKind::kUnsupported, program_.program->name, "slot {} has no place in a path", node_.slot);
  }

  using Registers = std::array<int64_t, ebpf::kRegCount>;
  const exec::LoadedProgram& program_;
  std::span<const TraceStep> trace_;
  size_t at_ = 0;
  PathGraph graph_;
  PathNode node_;
  Registers registers_{};
  std::vector<Registers> frames_;
  std::map<uint64_t, int64_t> memory_;
  int64_t last_branch_ = -1;
  int64_t last_call_ = -1;
};

// Longest chain from each node to the end, in rows; control edges count nothing by themselves.
std::vector<uint32_t> remaining(const PathGraph& graph) {
  std::vector<uint32_t> rows(graph.size(), 1);
  for (size_t at = graph.size(); at-- > 0;) {
    for (uint32_t before : graph[at].after) rows[before] = std::max(rows[before], rows[at] + 1);
    for (uint32_t before : graph[at].not_before) rows[before] = std::max(rows[before], rows[at]);
  }
  return rows;
}

uint32_t height(const PathGraph& graph) {
  std::vector<uint32_t> row(graph.size(), 1);
  uint32_t most = 0;
  for (size_t at = 0; at < graph.size(); ++at) {
    for (uint32_t before : graph[at].after) row[at] = std::max(row[at], row[before] + 1);
    most = std::max(most, row[at]);
  }
  return most;
}

}  // namespace

bool may_speculate(uint32_t helper) {
  constexpr std::string_view kPure[] = {
      "map_lookup_elem",     "map_lookup_percpu_elem", "csum_diff", "ktime_get_ns",         "ktime_get_boot_ns",
      "ktime_get_coarse_ns", "ktime_get_tai_ns",       "jiffies64", "get_smp_processor_id", "get_numa_node_id"};
  return std::ranges::find(kPure, ebpf::find_helper(helper)->name) != std::end(kPure);
}

std::vector<CallRegion> call_regions(const exec::LoadedProgram& program, uint32_t helper, const TraceStep& step) {
  const HelperSignature& signature = *ebpf::find_helper(helper);
  const ebpf::MapSpec* spec = nullptr;
  std::vector<CallRegion> regions;
  for (size_t i = 0; i < 5; ++i) {
    const uint64_t value = step.registers[i + 1];
    const uint64_t size = i < 4 ? step.registers[i + 2] : 0;
    switch (signature.args[i]) {
      case ArgType::kMap:
        spec = spec_of(program, value);
        break;
      case ArgType::kMapKey:
        if (spec != nullptr) regions.push_back({value, spec->key_size, false});
        break;
      case ArgType::kMapValue:
      case ArgType::kMapValueUninit:
        if (spec != nullptr)
          regions.push_back({value, spec->value_size, signature.args[i] == ArgType::kMapValueUninit});
        break;
      case ArgType::kMemory:
      case ArgType::kMemoryOrNull:
        if (value != 0) regions.push_back({value, size, false});
        break;
      case ArgType::kMemoryUninit:
      case ArgType::kMemoryWritable:
      case ArgType::kMemoryWritableOrNull:
        if (value != 0) regions.push_back({value, size, true});
        break;
      case ArgType::kFixedMemory:
        regions.push_back({value, signature.fixed_sizes[i], false});
        break;
      case ArgType::kLongOut:
        regions.push_back({value, 8, true});
        break;
      case ArgType::kIntOut:
        regions.push_back({value, 4, true});
        break;
      default:
        break;
    }
  }
  return regions;
}

Result<PathGraph> raw_graph(const exec::LoadedProgram& program, std::span<const TraceStep> trace) {
  return Raw(program, trace).run();
}

PathRows schedule(const PathGraph& graph, uint32_t lanes) {
  const std::vector<uint32_t> priority = remaining(graph);
  std::vector<uint32_t> order(graph.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return priority[a] > priority[b]; });
  std::vector<uint32_t> row(graph.size(), 0);  // from 1; 0: not yet
  uint32_t current = 0;
  for (size_t placed = 0; placed < graph.size();) {
    ++current;
    uint32_t free = lanes;
    bool call_free = true;
    // A node that may share the row with another may become ready when that one is placed.
    for (bool again = true; again && free != 0;) {
      again = false;
      for (uint32_t node : order) {
        const PathNode& n = graph[node];
        if (row[node] != 0 || free == 0 || (n.call && !call_free)) continue;
        if (!std::ranges::all_of(n.after, [&](uint32_t b) { return row[b] != 0 && row[b] < current; })) continue;
        if (!std::ranges::all_of(n.not_before, [&](uint32_t b) { return row[b] != 0; })) continue;
        row[node] = current;
        --free;
        ++placed;
        again = true;
        if (n.call) call_free = false;
      }
    }
  }
  return {static_cast<uint32_t>(graph.size()), height(graph), current};
}

Result<PathBound> bound_path(const exec::LoadedProgram& program, std::span<const TraceStep> trace, uint32_t lanes) {
  XNIC_ASSIGN(const PathGraph raw, raw_graph(program, trace));
  XNIC_ASSIGN(const PathGraph reduced, reduced_graph(program, trace));
  return PathBound{static_cast<uint32_t>(trace.size()), schedule(raw, lanes), schedule(reduced, lanes)};
}

}  // namespace xnic::bench
