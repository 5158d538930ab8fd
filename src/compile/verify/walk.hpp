// SPDX-License-Identifier: Apache-2.0
// The walk over all paths of a program: the machine that the verifier's files share. Each group of members is defined
// in the file named above it. Members that check something return false after reject().
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compile/verify/btf_signature.hpp"
#include "compile/verify/cfg.hpp"
#include "compile/verify/facts_join.hpp"
#include "compile/verify/range.hpp"
#include "compile/verify/state.hpp"
#include "compile/verify/verify.hpp"

namespace xnic::compile::verify {

enum class Access : uint8_t { kRead, kWrite };

// What the arguments of the helper call under way have told so far.
struct CallArguments {
  const HelperSignature* helper = nullptr;
  Register map;       // kind kMap when a map argument was seen
  Register released;  // the referenced argument that the call gives back
  uint32_t alloc_size = 0;
  uint32_t dynptr_id = 0;
  DynptrType dynptr_type = DynptrType::kNone;
  bool dynptr_read_only = false;
  std::optional<Slot> callback;
  int dynptr_out = -1;  // register that points at the dynptr to be made
  int64_t constant_key = -1;
};

// How strictly a stored state must cover the current one.
enum class Match : uint8_t {
  kCovered,  // differences that the finished continuation did not depend on are fine
  kWithin,   // every live value must lie inside: the continuation is not finished yet
  kExact,    // the same state: a loop that makes no progress
};

class Walk {
 public:
  Walk(const Program& program, const Environment& environment, const Options& options, const Flow& flow,
       const Signatures& signatures);

  // Explores from subprogram 0 with the XDP context in r1, or from a global function with its typed arguments.
  bool run_main();
  bool run_global(uint32_t subprogram, const std::vector<Register>& arguments);

  Rejection rejection;
  std::string log;
  FactsJoin facts;
  std::vector<uint32_t> stack_bytes;  // by subprogram
  uint64_t visited = 0;
  uint64_t states_total = 0;
  uint64_t states_peak = 0;
  uint64_t states_per_insn_max = 0;
  std::vector<bool> global_used;   // subprograms to be verified on their own
  std::vector<bool> asynchronous;  // subprograms that timers call

 private:
  // --- explore.cpp ---
  struct Branch {
    State state;
    Slot slot;
    size_t bytes;
  };
  bool explore(State start, Slot slot);
  bool walk_path();
  bool step();
  State& push_branch(Slot slot);
  void end_path();
  bool read_ok(int reg);
  bool write_ok(int reg);
  bool execute(const Binary& insn);
  bool execute(const MovSx& insn);
  bool execute(const Neg& insn);
  bool execute(const Swap& insn);
  bool execute(const LoadImm64& insn);
  bool execute(const LoadMap& insn);
  bool execute(const LoadMapValue& insn);
  bool execute(const LoadFunction& insn);
  bool execute(const LoadKernelVariable& insn);
  bool execute(const WideTail& insn);
  bool execute(const LoadPacket& insn);
  bool execute(const Load& insn);
  bool execute(const Store& insn);
  bool execute(const Atomic& insn);
  bool execute(const Jump& insn);
  bool execute(const Goto& insn);
  bool execute(const MayGoto& insn);
  bool execute(const CallHelper& insn);
  bool execute(const CallLocal& insn);
  bool execute(const CallKernel& insn);
  bool execute(const CallRegister& insn);
  bool execute(const Exit& insn);

  // --- alu.cpp ---
  bool pointer_arithmetic(BinaryOp op, Width width, int dst, const Register& pointer, const Register& offset,
                          bool scalar_was_dst);
  bool sane_offset(const Register& reg, const Register& shown);
  void link_before_copy(Register& source);
  void scalar_arithmetic(const Binary& insn, Register& dst, const Register& src);

  // --- branch.cpp ---
  std::optional<bool> predict(const Jump& insn, const Register& dst, const Register& src) const;
  void log_links(const Register& reg);
  void sync_links(State& state, const Register& known);
  void learn_packet_bounds(const Jump& insn, const Register& dst, const Register& src, State& taken);
  void prove_packet(State& state, const Register& pointer, bool open);
  void resolve_null(State& state, const Register& pointer, bool is_null);

  // --- memory.cpp ---
  // Accesses [reg + offset, +size). `value`: register loaded or stored, -1 for none. `sign`: a load extends its sign.
  bool access(int reg, int64_t offset, unsigned size, Access access, int value, bool sign, const Register* stored);
  bool check_region(int reg, int64_t offset, unsigned size, uint64_t limit, std::string_view what, bool zero_ok);
  bool check_packet(int reg, int64_t offset, unsigned size, bool zero_ok);
  bool check_map_value(int reg, int64_t offset, unsigned size, Access access, bool zero_ok, bool helper);
  bool check_fixed_offset(int reg, std::string_view name);
  bool atomic(const Atomic& insn);
  bool socket_access(int reg, int64_t offset, unsigned size);
  bool context_access(int reg, int64_t offset, unsigned size, Access access, int value, bool sign);
  bool load_map_value(int reg, int64_t offset, unsigned size, int value, bool sign);
  void set_loaded(int value, unsigned size, bool sign);

  // --- stack.cpp ---
  bool stack_bounds(int reg, int64_t offset, unsigned size, Access access, bool helper);
  bool stack_write(int reg, int64_t offset, unsigned size, int value, const Register* stored);
  bool stack_write_fixed(int frame, int64_t offset, unsigned size, int value, const Register* stored);
  bool stack_write_variable(int reg, int64_t offset, unsigned size, int value, const Register* stored);
  bool stack_read(int reg, int64_t offset, unsigned size, int value, bool sign);
  bool stack_read_fixed(int frame, int64_t offset, unsigned size, int value);
  bool stack_helper_access(int reg, unsigned size, bool zero_ok, Access access);
  void grow_stack(int frame, int64_t lowest);
  StackSlot& slot_at(int frame, int index);
  bool end_dynptr(int frame, int slot);
  void mark_slot_read(int frame, int slot);
  void mark_slots_read(int frame, int64_t low, int64_t high);

  // --- call.cpp ---
  bool enter_frame(State& state, uint32_t subprogram, CallbackKind callback, const std::array<Register, 5>& arguments);
  bool leave_frame();
  bool push_callback(const CallArguments& call);
  bool finish_call(const CallArguments& call);
  bool set_result(const CallArguments& call);
  bool check_reference_leak(std::string_view what);
  bool release_reference(uint32_t id);
  void forget_packet_pointers();
  void forget_references_to(uint32_t id);
  bool call_global(uint32_t subprogram);
  bool check_global_memory(int reg, const Register& declared);

  // --- helper_args.cpp, map_rules.cpp, dynptr.cpp ---
  bool check_argument(CallArguments& call, int position);
  bool check_memory_argument(const CallArguments& call, int reg, uint32_t size, bool zero_ok, Access access);
  bool check_aligned(int reg, unsigned size);
  bool check_size_argument(CallArguments& call, int position, bool zero_ok);
  bool check_map_compatible(const CallArguments& call);
  bool check_spin_lock(const CallArguments& call, int reg);
  bool check_timer(const CallArguments& call, int reg);
  bool check_const_string(int reg);
  bool check_dynptr_argument(CallArguments& call, int reg, ArgType type);
  bool check_field(int reg, const MapSpec& spec, int32_t field, std::string_view name);
  bool make_dynptr(const CallArguments& call);
  std::optional<uint64_t> constant_key(const Register& key, uint32_t size);
  bool wrong_type(int reg, std::string_view expected);

  // --- prune.cpp ---
  bool pruned();
  bool covers(State& old, Match match);
  bool already_covered(State& old, bool& finished);
  void close_checkpoint(State& state);
  void add_checkpoint();
  void mark_loop(const std::shared_ptr<State>& entry);
  void adopt_marks(State& from, State& old);
  void widen_against(const State& old, State& state);
  State* previous_visit(const State& state, Slot slot) const;

  // --- precision.cpp ---
  void depend(Location def, Location a = {}, Location b = {});
  void link(Location a, Location b);
  void mark_precise(int reg);
  void mark_precise_at(State& from, const std::vector<Location>& wanted);
  Location here(int reg) const { return Location::reg(state_.depth_index(), reg); }

  // --- message.cpp ---
  bool reject(Rejection::Kind kind, int error, std::string reason, std::string_view advice);
  void log_visit();

  Register& reg(int i) { return state_.frames.back().regs[static_cast<size_t>(i)]; }
  Register& reg(Reg r) { return reg(index(r)); }
  uint32_t fresh_id() { return ++id_source_; }

  const Program& program_;
  const Environment& environment_;
  const Options& options_;
  const Flow& flow_;
  const Signatures& signatures_;

  size_t memory_ = 0;  // bytes of stored states; before them, so that it outlives them
  State state_;        // of the path being walked
  Slot slot_ = 0;      // instruction being walked
  Slot next_ = 0;      // where the path goes on
  bool path_ended_ = false;
  bool strict_once_ = false;  // the access under way must be aligned
  bool global_run_ = false;   // walking a global function on its own
  uint32_t id_source_ = 0;
  std::vector<Branch> work_;
  std::unordered_map<Slot, std::vector<std::shared_ptr<State>>> explored_;
  std::unordered_map<const State*, std::pair<uint32_t, uint32_t>> scores_;  // misses, hits
  // Loops that were closed by a state inside an unfinished one: marks must flow back until nothing changes.
  struct BackEdge {
    std::shared_ptr<State> from;
    std::shared_ptr<State> to;
  };
  std::vector<BackEdge> back_edges_;
  uint64_t jumps_ = 0, jumps_at_checkpoint_ = 0, visited_at_checkpoint_ = 0;
  Slot last_shown_ = ~Slot{0};
  bool show_state_ = true;
};

// message.cpp
std::string describe(const Register& reg);
std::string describe(const State& state);
std::string_view kind_name(const Register& reg);
Rejection make_rejection(const Program& program, const Fault& fault);
std::string source_text(const Program& program, Slot slot);

}  // namespace xnic::compile::verify
