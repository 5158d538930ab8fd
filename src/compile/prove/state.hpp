// SPDX-License-Identifier: Apache-2.0
// The state of a proof: both machines at one point, and what is known to hold there.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/hxdp/image.hpp"
#include "compile/prove/memory.hpp"
#include "compile/prove/model.hpp"
#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

// Thrown inside this folder when something is outside the model; the driver makes "not decided" of it.
struct GiveUp {
  std::string why;
};

// Tags of pointers.
enum Tag : int64_t { kPacketTag, kStackTag, kContextTag, kHeapTag, kMapTag = 1000, kValueTag = 1'000'000 };

class Pairing;

// What both machines share: packet, maps, and what helpers return.
struct World {
  Memory packet;
  Term data = 0;               // pointer
  Term length = 0;             // data_end - data, below 2^16
  Term meta = 0;               // data - data_meta, below 2^8
  std::vector<Memory> values;  // by map: its values
  std::vector<Term> versions;  // by map: changes whenever its keys may
  Memory heap;                 // memory from helpers, values of maps inside maps
};

inline constexpr size_t kMostWitnesses = 8;

// What holds on the way here: literals, and bounds of terms compared with constants.
class Path {
 public:
  // 1: holds, 0: does not, -1: not seen from the literals alone.
  // Looks `depth` levels into and and or: conditions share parts, so a full walk could take for ever.
  int decide(Terms& terms, Term condition, int depth = 3) const;
  void assume(Terms& terms, Term condition);  // no-op for what is known
  const std::vector<Term>& literals() const { return literals_; }
  // The path that is `a` or `b`; `guard` is true on a and false on b.
  static Path join(Terms& terms, const Path& a, const Path& b, Term& guard);
  // What holds of both paths, in terms of the pairing; no new variables from here on (generalize.cpp).
  static Path generalize(Terms& terms, const Path& a, const Path& b, Pairing& pairing);
  // The least and the greatest value that the term can have.
  std::pair<uint64_t, uint64_t> bounds(const Terms& terms, Term t) const;
  // Inputs that are likely to take the path: some may not.
  std::vector<std::shared_ptr<Model>> witnesses;

 private:
  std::vector<Term> literals_;
  std::unordered_map<Term, bool> known_;
  std::map<Term, std::pair<uint64_t, uint64_t>> bounds_;
  // By x and y: y + first <= x, if not negative, and x < y + second.
  std::map<std::pair<Term, Term>, std::pair<int64_t, int64_t>> gaps_;
};

// An observable step: a helper call, with all that it sees, and what it leaves behind (equal for both machines).
struct Event {
  arch::ebpf::Slot slot = 0;
  uint32_t helper = 0;
  std::vector<Term> inputs;
  World before;
  Term result = 0;
  std::vector<Term> outputs;  // of each written argument, all its bytes: one term a byte
  World after;                // the parts that are new
};
using EventPtr = std::shared_ptr<const Event>;

struct Frame {
  arch::ebpf::Slot call;
  std::array<Term, 4> saved;  // r6..r9
  Term frame_pointer;
};

struct Bytecode {
  arch::ebpf::Slot slot = 0;
  bool done = false;
  std::array<Term, arch::ebpf::kRegCount> regs{};
  Memory stack;
  World world;
  std::vector<Frame> frames;
  Term verdict = 0;
};

struct Core {
  arch::hxdp::Row row = 0;
  bool done = false;
  std::array<Term, arch::hxdp::kRegisters> regs{};
  Memory stack;
  World world;
  Term verdict = 0;
};

struct Product {
  Bytecode bytecode;
  Core core;
  Path path;
  std::deque<EventPtr> pending;  // of the bytecode, not yet matched
  bool general = false;          // has cases that no input leads to, perhaps: shows nothing wrong
  std::vector<size_t> cuts;      // numbers of those where it became more general, the last one last
  std::vector<Term> doubts;      // on which the image went two ways when the program had come to its end
  // By depth of the call and head of a loop: how often the bytecode has come back to it.
  std::map<std::pair<size_t, arch::ebpf::Slot>, uint32_t> trips;
};

// Names that all states share.
struct Setting {
  Terms& terms;
  const arch::ebpf::Program& program;
  const arch::ebpf::Facts& facts;
  const arch::hxdp::Image& image;
  Term context = 0;
  Term core_stack = 0;               // lowest byte
  std::vector<Term> frames{};        // r10 by call depth
  std::vector<Term> maps{};          // the maps themselves
  std::vector<Term> first_values{};  // of array maps
  Memory context_bytes{};
  bool one_value_space = false;  // maps inside maps: any value may be any other
  size_t value_space(int64_t tag) const { return one_value_space ? 0 : size_t(tag - kValueTag); }
};

// Where an address leads, on a condition.
struct Place {
  Term condition;
  int64_t tag = -1;  // -1: nowhere known (null, a stale or made-up address)
  Term object = 0;   // its pointer
  Term address = 0;
};
std::vector<Place> places(const Setting& s, const Path& path, const World& world, Term address);
// The `bytes` bytes at `place` lie in its memory.
Term inside(const Setting& s, const World& world, const Place& place, unsigned bytes);
Term load(const Setting& s, const Path& path, const World& world, const Memory& stack, Term address, unsigned bytes);
void store(const Setting& s, const Path& path, World& world, Memory& stack, Term address, Term value);

// Arithmetic of RFC 9669, both machines' base.
Term alu(Terms& terms, arch::ebpf::BinaryOp op, arch::ebpf::Width width, Term a, Term b);
Term swap_bytes(Terms& terms, Term t);  // whole bytes
Term compare(Terms& terms, arch::ebpf::JumpOp op, arch::ebpf::Width width, Term a, Term b);
// `old` and `src` of an atomic to the new content.
Term atomic_result(Terms& terms, arch::ebpf::AtomicOp op, Term old, Term src, Term expected);

// calls.cpp. One argument: its value, or with `bytes` 8 bytes that it is the address of.
struct CallArgument {
  Term value = 0;
  bool bytes = false;
};
using CallArguments = std::array<CallArgument, 5>;
// A call as one machine makes it: what it sees there and where it writes.
struct CallView {
  uint32_t helper = 0;
  bool pure = false;
  Term result = 0;                                 // pure calls
  std::vector<Term> inputs;                        // values and memory contents, in argument order
  std::vector<std::pair<Term, unsigned>> outputs;  // written arguments: address, bytes
  Term fits = 0;                                   // condition: all memory arguments lie in their memories
  bool sees_packet = false, sees_everything = false, moves_packet = false;
  std::vector<size_t> sees_values, changes;  // maps
  int64_t result_tag = -1;                   // pointer or null of this tag; -1: a number
};
CallView view_call(const Setting& s, const Path& path, uint32_t helper, const CallArguments& args, const World& world,
                   const Memory& stack);
EventPtr make_event(const Setting& s, const CallView& view, arch::ebpf::Slot slot, const World& world);
// What the event leaves behind, on either machine.
void leave(const Setting& s, const Path& path, const CallView& view, const Event& event, World& world, Memory& stack);

// bytecode.cpp. Runs one instruction; a conditional jump that the path does not decide is returned undone as its
// condition.
struct Fork {
  bool forks = false;
  Term condition = 0;
  arch::ebpf::Slot taken = 0;
  arch::ebpf::Slot next = 0;
};
Fork step(const Setting& s, Product& state);

}  // namespace xnic::compile::prove
