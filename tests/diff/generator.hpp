// SPDX-License-Identifier: Apache-2.0
// The state of the random program generator; random_program.hpp is its interface.
//
// Code is emitted statement by statement against a model of what is readable: which registers hold numbers, which bytes
// of the stack are written. After a branch only what holds on both sides remains. A pointer lives in one reserved
// register for the length of one block ("held"), in which statements may go through it. Invariants that make programs
// acceptable and repeatable: r6 is the context; pointers are never stored where numbers are read; only written stack is
// read; loops run at most 8 times, with r9 as their counter.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/map_types.hpp"
#include "base/rng.hpp"
#include "emitter.hpp"
#include "random_program.hpp"

namespace xnic::tests {

using namespace arch::ebpf;  // NOLINT: the generator speaks in instructions

inline constexpr Reg r0 = Reg::kR0, r1 = Reg::kR1, r2 = Reg::kR2, r3 = Reg::kR3, r4 = Reg::kR4, r5 = Reg::kR5,
                     r6 = Reg::kR6, r7 = Reg::kR7, r8 = Reg::kR8, r9 = Reg::kR9, r10 = Reg::kR10;

enum Helper : uint32_t {
  kMapLookup = 1,
  kMapUpdate = 2,
  kMapDelete = 3,
  kTailCall = 12,
  kCpu = 8,
  kRedirectTo = 23,
  kCsumDiff = 28,
  kAdjustHead = 44,
  kRedirectMap = 51,
  kAdjustMeta = 54,
  kAdjustTail = 65,
  kMapPush = 87,
  kMapPop = 88,
  kMapPeek = 89,
  kRingOutput = 130,
  kRingReserve = 131,
  kRingSubmit = 132,
  kRingDiscard = 133,
  kRingQuery = 134,
  kForEach = 164,
  kLoop = 181,
  kBuffLen = 188,
  kLoadBytes = 189,
  kStoreBytes = 190,
  kLookupPercpu = 195,
};

// What a function is given and may do.
struct Signature {
  enum class Kind : uint8_t { kEntry, kSubprogram, kLoopCallback, kElementCallback };
  Kind kind = Kind::kEntry;
  int depth = 0;             // calls below the entry
  MapIndex map = 0;          // kElementCallback
  bool with_memory = false;  // kSubprogram: r4 points to 16 written bytes of the caller's stack
  bool packet_held = false;  // a caller holds a packet pointer: the packet must not be moved
  bool operator==(const Signature&) const = default;
};

struct Held {
  enum class Kind : uint8_t { kPacket, kMapValue, kStack, kRecord };
  Kind kind;
  Reg reg;
  uint32_t bytes;
};

inline constexpr int kStackLimit = 192;  // of the entry; others get kInnerStack, so that three frames fit
inline constexpr int kInnerStack = 96;
inline constexpr int kPointerSlot = 8;  // the lowest 8 bytes of the frame: spilled pointers only

struct Frame {
  Signature signature;
  std::array<bool, kRegCount> number{};         // holds a number
  std::array<bool, kRegCount> reserved{};       // must not be written by statements
  std::array<bool, kStackLimit + 1> written{};  // written[n]: the byte at fp - n holds part of a number
  int stack_bytes = kStackLimit;
  std::optional<Held> packet;
  std::optional<Held> memory;
  bool in_loop = false;
  bool packet_held_outside = false;
  bool record_held = false;  // of a ring buffer: the program must not end
};

class Generator {
 public:
  Generator(uint64_t seed, const GeneratorOptions& options) : rng_(seed), options_(options) {}
  std::shared_ptr<const Program> generate();
  const std::vector<uint64_t>& statements() const { return statements_; }

 private:
  // Functions.
  void function(FunctionId id, const Signature& signature);
  FunctionId request(const Signature& signature);
  void finish(bool result_is_bit);

  // Statements.
  void block(uint32_t statements);
  void statement();
  void emit_statement();
  void alu();
  void branch();
  void early_exit();
  void loop();
  void counted_while();
  void packet_block();
  void packet_length();
  void context_field();
  void held_access();
  void atomic_on(Reg base, int16_t offset);  // pre: offset is a multiple of 8
  void stack_store();
  void stack_load();
  void stack_atomic();
  void spill_context();
  void map_value_block();
  void direct_value();
  void map_update();
  void map_delete();
  void queue_call();
  void ring_record();
  void ring_call();
  void redirect_by_map();
  void tail_call();
  void adjust();
  void checksum();
  void packet_bytes();
  void simple_helper();
  void call_subprogram();
  void call_loop();
  void call_for_each();

  // Parts of statements.
  void emit(Instruction insn) { function_->emit(std::move(insn)); }
  Reg number();        // a register that holds a number
  Reg any_register();  // one that may be overwritten
  Operand operand();   // a number or a constant
  Reg own_number();    // a number that may be overwritten
  Reg any_and_set() {
    const Reg reg = any_register();
    set(reg);
    return reg;
  }
  Imm constant();
  void set(Reg reg) { frame_.number[index(reg)] = true; }
  void argument(Reg reg);  // any number
  void bounded_argument(Reg reg, uint32_t mask);
  int key_on_stack(const MapSpec& map);  // returns n of fp - n
  int region(uint32_t bytes);            // written stack of that size, 8-aligned; returns n of fp - n
  void address(Reg reg, int below_frame);
  void after_call();
  void lookup(MapIndex map);
  void with_held(Held held, uint32_t statements);
  std::optional<Reg> free_holder();
  std::optional<MapIndex> pick_map(std::initializer_list<MapType> types);
  void meet(const Frame& other);
  void make_maps();
  bool may_exit() const { return frame_.signature.kind == Signature::Kind::kEntry; }
  bool has_context() const {
    return frame_.signature.kind == Signature::Kind::kEntry || frame_.signature.kind == Signature::Kind::kSubprogram;
  }

  base::Rng rng_;
  const GeneratorOptions& options_;
  std::vector<uint64_t> statements_;
  std::vector<MapSpec> maps_;
  std::deque<Function> functions_;
  std::vector<Signature> signatures_;
  Function* function_ = nullptr;
  Frame frame_;
  int budget_ = 0;
  bool needs_btf_ = false;
};

}  // namespace xnic::tests
