// SPDX-License-Identifier: Apache-2.0
// What the verifier knows at one point of one path: registers and stack of every frame, held references and locks.
//
// A State is also a checkpoint: states stored at pruning points form a chain through `parent`, and carry what the
// continuation turned out to need (which scalars had to be precise, which stack slots were read), so that a later path
// that arrives with a covered state can stop there (prune.cpp).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/instruction.hpp"
#include "arch/ebpf/map_types.hpp"
#include "arch/ebpf/program.hpp"

namespace xnic::compile::verify {

using namespace arch::ebpf;  // NOLINT: internal header; every type here is one of the machine's

inline constexpr int kFrames = static_cast<int>(kMaxCallDepth);
inline constexpr int kSlotsPerFrame = static_cast<int>(kStackBytes) / 8;
inline constexpr int kMaxPacketOffset = 0xffff;         // bound of offsets in packet pointers, kernel MAX_PACKET_OFF
inline constexpr int64_t kMaxVariableOffset = 1 << 29;  // kernel BPF_MAX_VAR_OFF
inline constexpr uint32_t kMaxVariableSize = 1u << 29;  // kernel BPF_MAX_VAR_SIZ

enum class Kind : uint8_t {
  kUnset,
  kScalar,
  kContext,
  kPacket,
  kPacketMeta,
  kPacketEnd,
  kStack,
  kMap,
  kMapKey,
  kMapValue,
  kMemory,
  kFunction,
  kDynptr,  // the dynptr that a helper hands to a callback
  kSocket,
};

// Registers are compared and copied a lot: keep this plain.
struct Register {
  Kind kind = Kind::kUnset;
  bool maybe_null = false;
  bool precise = false;       // the continuation of this checkpoint depended on the scalar's range
  bool read_only = false;     // kMemory, kDynptr
  bool packet_slice = false;  // kMemory that may lie in the packet: gone when the packet changes
  bool reservation = false;   // kMemory from a ring buffer reservation
  bool has_addend = false;    // scalar = (scalar named by id) + offset
  int8_t past_end = 0;        // kPacket: 1 = proved at or beyond data_end, 2 = proved beyond it
  uint8_t frame = 0;          // kStack
  uint32_t id = 0;            // pointers: null-check or packet identity; scalars: link to copies of the same value
  uint32_t ref = 0;           // acquired reference that the pointer stands for
  uint32_t lookup = 0;        // kMap, kMapValue: which lookup made it (inner maps, spin locks)
  int32_t offset = 0;         // fixed part of a pointer's offset; addend of a linked scalar
  uint32_t packet_range = 0;  // bytes from the pointer's base that are proved readable
  uint32_t mem_size = 0;      // kMemory
  MapIndex map = 0;
  const MapSpec* spec = nullptr;  // kMap, kMapKey, kMapValue
  Slot function = 0;              // kFunction
  Range var;                      // scalars: the value; pointers: the variable part of the offset

  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_pointer() const { return kind != Kind::kScalar && kind != Kind::kUnset; }
  bool is_constant() const { return is_scalar() && var.is_constant(); }
  bool is_null() const { return is_constant() && var.umin == 0; }
  bool has_fixed_offset() const { return var.is_constant(); }

  static Register scalar(const Range& range = {}) {
    Register reg;
    reg.kind = Kind::kScalar;
    reg.var = range;
    return reg;
  }
  static Register constant(uint64_t value) { return scalar(Range::constant(value)); }
  static Register pointer(Kind kind) {
    Register reg;
    reg.kind = kind;
    reg.var = Range::constant(0);
    return reg;
  }
  bool operator==(const Register&) const = default;
};

enum class ByteKind : uint8_t { kInvalid, kMisc, kZero, kSpill, kDynptr };
enum class DynptrType : uint8_t { kNone, kLocal, kRingbuf, kSkb, kXdp };

struct StackSlot {
  std::array<ByteKind, 8> bytes{};  // bytes[i] is the byte at frame offset -8*(slot+1)+i
  Register reg;                     // what was spilled, when bytes[0] is kSpill
  DynptrType dynptr = DynptrType::kNone;
  bool dynptr_first = false;  // the slot with the higher address
  uint32_t dynptr_id = 0;
  bool is_spill() const { return bytes[0] == ByteKind::kSpill; }
  bool is_full_spill() const { return bytes[7] == ByteKind::kSpill; }
};

// How the frame came to be, when not by a call instruction.
enum class CallbackKind : uint8_t { kNone, kLoop, kForEach, kTimer, kUserRingbuf };

struct Frame {
  std::array<Register, kRegCount> regs;
  std::vector<StackSlot> stack;  // slot 0 is [fp-8, fp)
  Slot callsite = 0;
  uint32_t subprogram = 0;
  CallbackKind callback = CallbackKind::kNone;
  bool asynchronous = false;
  uint32_t callback_depth = 0;  // iterations of a callback entered from this frame's current call
};

// A place that holds a value: register (index 0..10) or stack slot (16 + slot) of a frame.
struct Location {
  uint16_t code = 0xffff;
  static Location reg(int frame, int reg_index) { return {static_cast<uint16_t>(frame * 128 + reg_index)}; }
  static Location slot(int frame, int slot_index) { return {static_cast<uint16_t>(frame * 128 + 16 + slot_index)}; }
  bool valid() const { return code != 0xffff; }
  int frame() const { return code / 128; }
  int index() const { return code % 128; }
  bool operator==(const Location&) const = default;
};

// One step of a path's data flow, in order of execution; precision walks it backwards.
struct Dependence {
  enum class Op : uint16_t { kDefine, kLink };
  Op op = Op::kDefine;
  Location def;  // kDefine: def was computed from a and b. kLink: def and a constrain each other
  Location a;
  Location b;
};

struct Reference {
  uint32_t id = 0;
  Slot acquired_at = 0;
  uint8_t callback_frame = 0;  // frame of the callback that acquired it; 0: none
};

struct State {
  std::vector<Frame> frames;
  std::vector<Reference> refs;
  uint32_t lock_id = 0;  // spin lock held: the identity of the map value's lookup
  const MapSpec* lock_map = nullptr;
  uint32_t packet_bytes = 0;  // proved between data and data_end
  uint32_t packet_meta_bytes = 0;
  uint32_t may_goto_depth = 0;
  uint32_t callback_unroll_depth = 0;

  // The chain of checkpoints.
  std::shared_ptr<State> parent;
  Slot slot = 0;                            // where a checkpoint was taken
  uint32_t branches = 1;                    // paths from here that are not finished
  uint32_t depth = 0;                       // checkpoints above this one
  std::shared_ptr<State> loop_entry;        // outermost open loop that this checkpoint was found to be part of
  std::vector<Dependence> history;          // since parent
  std::array<uint64_t, kFrames> written{};  // stack slots written whole since parent
  std::array<uint64_t, kFrames> read{};     // checkpoint: slots that the continuation reads

  State() = default;
  State(const State&) = default;
  State(State&&) = default;
  State& operator=(const State&) = default;
  State& operator=(State&&) = default;
  // Chains are long: they are taken down one by one, not by recursion.
  ~State() {
    for (std::shared_ptr<State> up = std::move(parent); up && up.use_count() == 1;) {
      std::shared_ptr<State> next = std::move(up->parent);
      up = std::move(next);
    }
  }

  // Bytes that the state takes, roughly.
  size_t footprint() const {
    size_t bytes = sizeof(State) + history.size() * sizeof(Dependence);
    for (const Frame& frame : frames) bytes += sizeof(Frame) + frame.stack.size() * sizeof(StackSlot);
    return bytes;
  }

  Frame& top() { return frames.back(); }
  const Frame& top() const { return frames.back(); }
  int depth_index() const { return static_cast<int>(frames.size()) - 1; }
};

// Calls f(Register&) for every register and every whole spilled register of every frame.
template <class F>
void for_each_register(State& state, F&& f) {
  for (Frame& frame : state.frames) {
    for (Register& reg : frame.regs) f(reg);
    for (StackSlot& slot : frame.stack)
      if (slot.is_spill()) f(slot.reg);
  }
}

}  // namespace xnic::compile::verify
