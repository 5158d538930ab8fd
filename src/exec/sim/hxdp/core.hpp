// SPDX-License-Identifier: Apache-2.0
// The core: an image decoded into flat arrays, and the machine that runs its rows.
//
// What lanes of a row see of each other is arch/hxdp/lane_rules.hpp. A row is run in two steps. First the lanes, in
// order, read what they need and compute; the first taken branch or exit ends this step, so higher lanes have no
// effect. Register results go to their register at once, or to a temporary when a higher lane of the row still reads
// the old value. Then stores and the call of the row take effect in lane order.
//
// Time here is relative: cycles since the first row, without waiting for the packet's bytes. What the row had to wait
// for is noted as a touch; the card (timeline.hpp) turns that into stalls. So what a program does never depends on
// when the packet arrives.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arch/ebpf/context.hpp"
#include "arch/hxdp/image.hpp"
#include "arch/hxdp/latency.hpp"
#include "arch/hxdp/timing.hpp"
#include "base/result.hpp"
#include "exec/engine.hpp"
#include "exec/helpers/helper_context.hpp"

namespace xnic::exec::sim::hxdp {

namespace isa = arch::hxdp;

struct Core;
struct FlatSite;
struct Micro;
enum class Flow : uint8_t { kOn, kTaken, kExit };
using Handler = Flow (*)(Core&, const Micro&);

inline constexpr uint32_t kTemporaries = isa::kMaxLanes;

// One operation of one lane. Nops have none.
struct Micro {
  Handler handler = nullptr;
  uint64_t imm = 0;                // immediate (sign-extended), offset of an address or memory operand
  uint64_t value = 0;              // stored immediate; base address of a map or its values
  const FlatSite* site = nullptr;  // calls: in FlatImage::sites
  uint32_t target = 0;             // row
  uint8_t out = 0;                 // result: register, or kRegisters + lane
  uint8_t a = 0;                   // register operands
  uint8_t b = 0;
  uint8_t c = 0;
  uint8_t lane = 0;
  uint8_t final_out = 0;  // where `out` is copied when the row is done
  bool sign_extend = false;
  bool big_endian = false;
  bool speculative = false;
  bool has_result = false;
  bool bubble = false;  // a taken branch that fetch has not foreseen
  bool exits = false;   // a call whose result is the verdict
  bool calls = false;   // takes effect at the end of the row
  bool reads_memory = false;
  bool writes_memory = false;
  bool owned = false;    // a direct map value that exists
  bool at_once = false;  // a store that nothing else in its row can see: written with the first step
};

struct FlatRow {
  uint32_t first = 0;  // micro operations [first, end)
  uint32_t end = 0;
  bool moves = false;  // some result goes through a temporary
};

// How much of its memory a call reads through an argument.
struct Extent {
  enum class Kind : uint8_t { kUnknown, kBytes, kSizeArgument };
  Kind kind = Kind::kUnknown;
  uint32_t bytes = 0;  // kBytes
};

struct FlatSite {
  helpers::HelperFn function = nullptr;
  isa::CallSite site;
  std::array<uint64_t, 5> constant{};  // of arguments known at load; 0 for the others
  std::array<uint8_t, 5> variable{};   // the others: their positions
  std::array<Extent, 5> extent{};
  uint8_t variables = 0;
  maps::Map* map = nullptr;   // of the first map argument, if it is known
  uint32_t value_bytes = 0;   // a look-up whose result points to this many bytes of a value; 0: something else
  bool at_once = false;       // a look-up in a known map by a key given in the call: nothing in its row can change it
  isa::CallShape shape;       // of the map and lengths that are known
  isa::CallCost cost;         // of the shape
  bool is_known = false;      // so it is the call's
  bool reads_packet = false;  // by offset, so that no argument shows it
};

// Immutable after decode(). Moving it leaves `sites` where they are.
struct FlatImage {
  std::vector<Micro> micros;
  std::vector<FlatRow> rows;
  std::vector<FlatSite> sites;
  isa::Parameters parameters;
  isa::Timing timing;
  const LoadedProgram* program = nullptr;
};

// Pre: check_rules() passed. Errors: kBadInput when the program's maps are not those of the image.
base::Result<FlatImage> decode(const isa::Image& image, const LoadedProgram& program, const isa::Timing& timing);

// Type and sizes of the map that a call goes to.
void set_map(isa::CallShape& shape, const maps::Map& map);

// The first use of frame `frame` of the packet, `cycle` cycles after the first row. Frames ascend.
struct Touch {
  uint32_t cycle = 0;
  uint32_t frame = 0;
};

// What one packet cost, apart from waiting. cycles = rows + branch + helper + memory.
struct PacketRun {
  uint32_t cycles = 0;
  uint32_t rows = 0;
  uint32_t branch_cycles = 0;
  uint32_t helper_cycles = 0;
  uint32_t memory_cycles = 0;
  uint32_t frames_in = 0;
  uint32_t frames_out = 0;   // 0: nothing leaves
  uint32_t lead_frames = 0;  // frames that must be in before the first one can leave, beyond one (bytes cut in front)
  std::vector<Touch> touches;
};

struct RowProfile {
  uint64_t visits = 0;
  uint64_t taken = 0;   // left by a branch
  uint64_t cycles = 0;  // beyond one per visit: bubbles, helpers, memory
};

// A load or store outside every memory, or a program that runs too long.
struct Fault {
  uint32_t row = 0;
  uint32_t lane = 0;
  uint64_t address = 0;
  uint32_t bytes = 0;
  std::string what;
};

struct Core {
  static constexpr uint64_t kRowBudget = uint64_t{1} << 24;  // rows a packet may take; then it is aborted

  explicit Core(const FlatImage& image);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Starts a packet; then step() until it returns false, or run_rows(), then finish(), which gives the verdict.
  void begin(packet::Packet& packet, const RunContext& context, helpers::HelperState& state);
  bool step();
  void run_rows();
  void finish(Verdict& result);

  // --- state that the handlers work on ---
  uint64_t regs[isa::kRegisters + kTemporaries] = {};
  const FlatImage& image;
  packet::Packet* packet = nullptr;
  uint64_t origin = 0;  // address of the packet's first byte as it arrived
  uint32_t frame_shift = 0;
  uint32_t touched = 0;  // last frame known to be needed
  uint32_t row = 0;
  uint32_t row_extra = 0;  // cycles of the running row beyond one
  uint32_t verdict = 0;
  uint32_t row_map_accesses = 0;  // one after the other
  bool stack_dirty = false;
  struct Effect {
    uint64_t address;
    uint64_t value;
    const Micro* call;  // null: a store
    uint8_t bytes;
  };
  uint32_t effects = 0;
  Effect effect[isa::kMaxLanes];
  uint64_t call_args[5] = {};
  uint64_t call_bytes[5] = {};  // what kRegisterBytes and kConstantBytes point to
  const maps::Map* hit_map = nullptr;
  // Values that look-ups of this packet found: most accesses by pointer go there.
  struct Found {
    uint64_t address = 0;
    uint64_t bytes = 0;
  };
  static constexpr uint32_t kFound = 4;  // a power of two
  Found found[kFound];
  uint32_t founds = 0;
  alignas(16) uint8_t stack[isa::kStackBytes] = {};
  uint8_t context_object[arch::ebpf::kContextBytes] = {};
  helpers::HelperContext helper;
  PacketRun run;
  std::vector<RowProfile> profile;
  uint64_t faults = 0;
  std::unique_ptr<Fault> first_fault;

  // Memory: what holds [address, address + bytes)? kRegister: nothing.
  isa::Space space_of(uint64_t address, uint64_t bytes) {
    const auto meta = reinterpret_cast<uint64_t>(packet->data_meta);
    if (inside(address, bytes, meta, reinterpret_cast<uint64_t>(packet->data_end) - meta)) return isa::Space::kPacket;
    for (const Found& value : found) {
      if (inside(address, bytes, value.address, value.bytes)) return isa::Space::kMapValue;
    }
    return search_space(address, bytes);
  }
  static bool inside(uint64_t address, uint64_t bytes, uint64_t begin, uint64_t size) {
    const uint64_t offset = address - begin;
    return offset < size && bytes <= size - offset;
  }
  // Notes that packet bytes up to address + bytes are needed.
  void touch(uint64_t address, uint64_t bytes) {
    const uint64_t offset = address + bytes - 1 - origin;
    const uint64_t frame = offset >> frame_shift;
    // In front of the packet as it arrived: scratch memory, which waits for nothing.
    if (frame > touched && static_cast<int64_t>(offset) > 0) note_touch(frame);
  }
  void touch_all() {
    if (run.frames_in > touched + 1) note_touch(run.frames_in - 1);
  }
  void note_cost(const isa::CallCost& cost) {
    run.helper_cycles += cost.cycles - 1;
    row_extra += cost.cycles - 1;
    if (cost.map_accesses > row_map_accesses) row_map_accesses = cost.map_accesses;
  }
  void note_found(uint64_t address, uint64_t bytes) { found[founds++ % kFound] = {address, bytes}; }
  void push_store(uint64_t address, uint64_t value, uint8_t bytes) {
    effect[effects++] = {address, value, nullptr, bytes};
  }
  static void write_bytes(uint64_t address, uint64_t value, uint8_t bytes);
  // Ends the program with XDP_ABORTED.
  Flow fault(const Micro& op, uint64_t address, uint32_t bytes, const char* what);

 private:
  isa::Space search_space(uint64_t address, uint64_t bytes);
  struct Progress {
    uint32_t rows;
    uint32_t cycles;
  };
  bool run_row(Progress& so_far);
  void note_touch(uint64_t frame);
  void apply_effects();
  void call(const Micro& op);
};

// Handlers by operation (core_alu.cpp, core_memory.cpp, core_control.cpp).
Handler handler_of(const isa::Alu& op);
Handler handler_of(const isa::Move& op);
Handler handler_of(const isa::MoveHigh& op);
Handler handler_of(const isa::SignExtend& op);
Handler handler_of(const isa::Swap& op);
Handler handler_of(const isa::FoldSum& op);
Handler handler_of(const isa::Select& op);
Handler handler_of(const isa::Address& op);
Handler handler_of(const isa::Load& op);
Handler handler_of(const isa::Store& op);
Handler handler_of(const isa::AddMemory& op);
Handler handler_of(const isa::Atomic& op);
Handler handler_of(const isa::Branch& op);
Handler handler_of(const isa::BranchPacket& op);
Handler handler_of(const isa::Goto& op);
Handler handler_of(const isa::Call& op);
Handler lookup_handler();  // of a call whose site is `at_once`
Handler handler_of(const isa::CallExit& op);
Handler handler_of(const isa::Exit& op);
Handler handler_of(const isa::ExitRegister& op);

}  // namespace xnic::exec::sim::hxdp
