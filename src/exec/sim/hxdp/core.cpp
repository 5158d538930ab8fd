// SPDX-License-Identifier: Apache-2.0
// The life of a packet in the core: begin, rows, finish; and the second half of a row, where effects happen.
#include "exec/sim/hxdp/core.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "arch/ebpf/helpers.hpp"
#include "base/bytes.hpp"

namespace xnic::exec::sim::hxdp {

namespace {

uint32_t bytes_of(const packet::Packet& packet) {
  return packet.fragments.empty() ? static_cast<uint32_t>(packet.data_end - packet.data) : packet.size();
}

}  // namespace

void set_map(isa::CallShape& shape, const maps::Map& map) {
  shape.map = map.spec().type;
  shape.key_bytes = map.spec().key_size;
  shape.value_bytes = map.spec().value_size;
  shape.hashes = static_cast<uint32_t>(map.spec().map_extra & 15);
}

Core::Core(const FlatImage& flat) : image(flat), profile(flat.rows.size()) {
  frame_shift = static_cast<uint32_t>(std::countr_zero(flat.parameters.frame_bytes));
  helper.program = flat.program;
  helper.stack = reinterpret_cast<uint64_t>(stack);
  helper.stack_bytes = sizeof stack;
}

void Core::begin(packet::Packet& of, const RunContext& context, helpers::HelperState& state) {
  packet = &of;
  origin = reinterpret_cast<uint64_t>(of.data);
  // In pieces that the compiler makes vector stores of; for the whole it would call memset or use "rep stos".
  static_assert(isa::kRegisters % 4 == 0);
  for (uint32_t r = 0; r < isa::kRegisters; r += 4) std::memset(regs + r, 0, 4 * sizeof regs[0]);
  if (stack_dirty) {
    std::memset(stack, 0, sizeof stack);
    stack_dirty = false;
  }
  row = 0;
  verdict = arch::ebpf::kXdpAborted;
  touched = 0;
  run.cycles = run.rows = run.branch_cycles = run.helper_cycles = run.memory_cycles = 0;
  run.frames_in = (bytes_of(of) + image.parameters.frame_bytes - 1) >> frame_shift;
  run.touches.clear();
  for (Found& value : found) value.bytes = 0;
  founds = 0;
  if (image.sites.empty()) return;
  helper.reset();
  helper.packet = &of;
  helper.run = &context;
  helper.state = &state;
}

void Core::note_touch(uint64_t frame) {
  // Bytes that adjust_tail has added lie behind the last frame: they come from scratch.
  const auto last = run.frames_in == 0 ? 0 : run.frames_in - 1;
  touched = frame < last ? static_cast<uint32_t>(frame) : last;
  if (touched == 0 || (!run.touches.empty() && run.touches.back().frame >= touched)) return;
  run.touches.push_back({run.cycles, touched});
}

Flow Core::fault(const Micro& op, uint64_t address, uint32_t bytes, const char* what) {
  ++faults;
  if (first_fault == nullptr) first_fault = std::make_unique<Fault>(Fault{row, op.lane, address, bytes, what});
  verdict = arch::ebpf::kXdpAborted;
  return Flow::kExit;
}

void Core::call(const Micro& op) {
  const FlatSite& site = *op.site;
  isa::CallCost cost = site.cost;
  if (!site.is_known) {
    const arch::ebpf::HelperSignature& signature = *arch::ebpf::find_helper(site.site.helper);
    isa::CallShape shape{.helper = site.site.helper};
    for (size_t i = 0; i < 5; ++i) {
      using arch::ebpf::ArgType;
      const ArgType arg = signature.args[i];
      if (arg == ArgType::kSize || arg == ArgType::kSizeOrZero) shape.bytes += static_cast<uint32_t>(call_args[i]);
      if (arg == ArgType::kMap) set_map(shape, *reinterpret_cast<const maps::Map*>(call_args[i]));
    }
    cost = isa::call_cost(shape, image.parameters);
  }
  note_cost(cost);
  const uint64_t result = site.function(helper, call_args[0], call_args[1], call_args[2], call_args[3], call_args[4]);
  if (site.value_bytes != 0 && result != 0) note_found(result, site.value_bytes);
  if (op.has_result) regs[op.final_out] = result;
  if (op.exits) verdict = static_cast<uint32_t>(result);
}

void Core::apply_effects() {
  for (uint32_t i = 0; i < effects; ++i) {
    const Effect& e = effect[i];
    if (e.call != nullptr) {
      call(*e.call);
    } else {
      write_bytes(e.address, e.value, e.bytes);
    }
  }
  effects = 0;
}

// `so_far`: rows and cycles before this one, which run.rows and run.cycles say while its operations run.
inline bool Core::run_row(Progress& so_far) {
  const FlatRow& current = image.rows[row];
  RowProfile& counted = profile[row];
  const Micro* const first = image.micros.data() + current.first;
  const Micro* const end = image.micros.data() + current.end;
  ++counted.visits;
  run.cycles = so_far.cycles;
  row_extra = 0;
  row_map_accesses = 0;
  Flow flow = Flow::kOn;
  const Micro* m = first;
  for (; m != end; ++m) {
    flow = m->handler(*this, *m);
    if (flow != Flow::kOn) break;
  }
  if (current.moves) {
    for (const Micro* done = first; done != m; ++done) {
      if (done->out != done->final_out) regs[done->final_out] = regs[done->out];
    }
  }
  if (effects != 0) apply_effects();
  if (row_map_accesses * image.timing.map_memory_cycles != 0) {
    const uint32_t held = row_map_accesses * image.timing.map_memory_cycles;
    run.memory_cycles += held;
    row_extra += held;
  }
  so_far.rows += 1;
  so_far.cycles += 1 + row_extra;
  counted.cycles += row_extra;
  if (flow == Flow::kExit) return false;
  if (flow == Flow::kTaken) {
    ++counted.taken;
  } else {
    ++row;
  }
  if (so_far.rows < kRowBudget) return true;
  fault(*first, 0, 0, "endless program");
  return false;
}

bool Core::step() {
  Progress progress{run.rows, run.cycles};
  const bool goes_on = run_row(progress);
  run.rows = progress.rows, run.cycles = progress.cycles;
  return goes_on;
}

void Core::run_rows() {
  Progress progress{run.rows, run.cycles};
  while (run_row(progress)) {
  }
  run.rows = progress.rows, run.cycles = progress.cycles;
}

void Core::finish(Verdict& result) {
  result.code = verdict;
  if (verdict == arch::ebpf::kXdpRedirect) {
    result.redirect = helper.redirect;
  } else {
    result.redirect = {};
  }
  if (!helper.held_maps.empty()) helper.held_maps.clear();
  const uint32_t action = result.action();
  const bool leaves = action != arch::ebpf::kXdpAborted && action != arch::ebpf::kXdpDrop;
  const uint32_t mask = image.parameters.frame_bytes - 1;
  run.frames_out = leaves ? (bytes_of(*packet) + mask) >> frame_shift : 0;
  const auto cut = static_cast<int64_t>(reinterpret_cast<uint64_t>(packet->data) - origin);
  run.lead_frames = cut > 0 ? static_cast<uint32_t>((cut + mask) >> frame_shift) : 0;
}

}  // namespace xnic::exec::sim::hxdp
