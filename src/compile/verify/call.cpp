// SPDX-License-Identifier: Apache-2.0
// Calls and returns: subprograms are walked into with a frame of their own; global functions are taken at their word
// (verified once, on their own); helpers are checked against their signature; callbacks are walked 0, 1, … times, with
// widening, until an iteration adds nothing (kernel push_callback_call, prepare_func_exit).
#include "compile/verify/walk.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>

#include "base/check.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

constexpr int kMaxErrno = 4095;
constexpr uint32_t kSocketBytes = 80;  // struct bpf_sock

// A lookup there gives a socket of its own count, not a value in the map.
bool holds_sockets(const MapSpec* map) { return map && (map->type == kMapSockmap || map->type == kMapSockhash); }

bool is_null_pointer_type(RetType type) {
  return type == RetType::kMapValueOrNull || type == RetType::kMemoryOrNull || type == RetType::kDynptrMemoryOrNull ||
         type == RetType::kSocketOrNull;
}

}  // namespace

bool Walk::enter_frame(State& state, uint32_t subprogram, CallbackKind callback,
                       const std::array<Register, 5>& arguments) {
  if (state.frames.size() >= kMaxCallDepth)
    return reject(kLimit, E2BIG, fmt::format("the call stack of {} frames is too deep", state.frames.size()),
                  "call fewer functions inside each other, or let the compiler inline them");
  const int f = static_cast<int>(state.frames.size());
  Frame& frame = state.frames.emplace_back();
  frame.callsite = slot_;
  frame.subprogram = subprogram;
  frame.callback = callback;
  for (size_t i = 0; i < 5; ++i) frame.regs[i + 1] = arguments[i];
  frame.regs[10] = Register::pointer(Kind::kStack);
  frame.regs[10].frame = static_cast<uint8_t>(f);
  state.written[static_cast<size_t>(f)] = ~uint64_t{0};  // a new frame holds nothing that came from above
  for (int i = 1; i <= 5; ++i)
    state.history.push_back({Dependence::Op::kDefine,
                             Location::reg(f, i),
                             callback == CallbackKind::kNone ? Location::reg(f - 1, i) : Location{},
                             {}});
  return true;
}

// Memory that the declaration promises must be there, to read and to write, unless null is passed.
bool Walk::check_global_memory(int r, const Register& declared) {
  static const HelperSignature kAnyMemory = [] {
    HelperSignature signature;
    signature.packet_memory = true;
    return signature;
  }();
  CallArguments call;
  call.helper = &kAnyMemory;
  if (reg(r).is_null() && declared.maybe_null) return true;
  if (reg(r).maybe_null && !declared.maybe_null)
    return reject(kType, EINVAL, fmt::format("arg#{} is expected to be non-NULL", r - 1),
                  "check for NULL before the call");
  const bool maybe_null = reg(r).maybe_null;
  reg(r).maybe_null = false;
  const bool fine = check_memory_argument(call, r, declared.mem_size, false, Access::kRead) &&
                    check_memory_argument(call, r, declared.mem_size, false, Access::kWrite);
  reg(r).maybe_null = maybe_null;
  return fine;
}

// A global function is verified on its own: here only the arguments are compared with its declaration.
bool Walk::call_global(uint32_t subprogram) {
  const Signature& signature = *signatures_[subprogram];
  if (!signature.fault.empty())
    return reject(kType, EINVAL, signature.fault, "declare the function static, or with numbers and sized pointers");
  if (state_.lock_id != 0)
    return reject(kReference, EINVAL, "global function calls are not allowed while holding a lock",
                  "call bpf_spin_unlock first, or declare the function static");
  for (int i = 0; i < static_cast<int>(signature.arguments.size()); ++i) {
    const Register& declared = signature.arguments[static_cast<size_t>(i)];
    const int r = i + 1;
    if (!read_ok(r)) return false;
    if (declared.is_scalar() && !reg(r).is_scalar())
      return reject(kType, EINVAL, fmt::format("R{} is not a scalar", r), "pass a number");
    if (declared.kind == Kind::kContext) {
      if (reg(r).kind != Kind::kContext)
        return reject(kType, EINVAL, fmt::format("arg#{} expects pointer to ctx", i), "pass the context");
      if (!check_fixed_offset(r, "ctx")) return false;
    }
    if (declared.kind == Kind::kMemory && !check_global_memory(r, declared)) return false;
    if (declared.kind == Kind::kDynptr) {
      CallArguments call;
      if (!check_dynptr_argument(call, r, ArgType::kDynptr)) return false;
    }
  }
  global_used[subprogram] = true;
  for (int i = 0; i <= 5; ++i) {
    reg(i) = Register{};
    depend(here(i));
  }
  reg(0) = Register::scalar();
  if (flow_.changes_packet[subprogram]) forget_packet_pointers();
  return true;
}

bool Walk::execute(const CallLocal& insn) {
  const uint32_t subprogram = flow_.subprogram[insn.target];
  ++jumps_;
  if (subprogram == 0) return reject(kTermination, EINVAL, "recursive call of the main program", "loop instead");
  if (signatures_[subprogram]) return call_global(subprogram);
  std::array<Register, 5> arguments;
  for (int i = 0; i < 5; ++i) {
    arguments[static_cast<size_t>(i)] = reg(i + 1);
    arguments[static_cast<size_t>(i)].precise = false;
  }
  const int caller = state_.depth_index();
  if (!enter_frame(state_, subprogram, CallbackKind::kNone, arguments)) return false;
  for (int i = 0; i <= 5; ++i) state_.frames[static_cast<size_t>(caller)].regs[static_cast<size_t>(i)] = Register{};
  next_ = insn.target;
  return true;
}

bool Walk::check_reference_leak(std::string_view what) {
  const bool in_callback = state_.top().callback != CallbackKind::kNone;
  for (const Reference& ref : state_.refs) {
    if (in_callback && ref.callback_frame != state_.depth_index()) continue;
    return reject(kReference, EINVAL, fmt::format("Unreleased reference id={} alloc_insn={}", ref.id, ref.acquired_at),
                  "release what was acquired there on every path, also when something else fails");
  }
  if (state_.lock_id != 0)
    return reject(kReference, EINVAL, fmt::format("{} cannot be used inside bpf_spin_lock-ed region", what),
                  "call bpf_spin_unlock first");
  return true;
}

bool Walk::execute(const Exit&) {
  if (state_.frames.size() > 1) {
    if (state_.top().callback != CallbackKind::kNone && !check_reference_leak("BPF_EXIT instruction in callback"))
      return false;
    return leave_frame();
  }
  if (!check_reference_leak("BPF_EXIT instruction in main prog")) return false;
  if (!read_ok(0)) return false;
  const Frame& frame = state_.top();
  if (global_run_ && !reg(0).is_scalar())
    return reject(kType, EINVAL,
                  fmt::format("At subprogram exit the register R0 is not a scalar value ({})", kind_name(reg(0))),
                  "global functions return numbers");
  if (frame.asynchronous) {
    if (!reg(0).is_scalar())
      return reject(kType, EINVAL,
                    fmt::format("In async callback the register R0 is not a known value ({})", kind_name(reg(0))),
                    "return 0 from the callback");
    mark_precise(0);
    if (!reg(0).is_null())
      return reject(kType, EINVAL, "At async callback return the register R0 should have been in [0, 0]",
                    "return 0 from the callback");
  }
  path_ended_ = true;
  return true;
}

bool Walk::leave_frame() {
  const int depth = state_.depth_index();
  const Frame& callee = state_.top();
  const Register result = callee.regs[0];
  const bool callback = callee.callback != CallbackKind::kNone;
  if (result.kind == Kind::kStack)
    return reject(kType, EINVAL, "cannot return stack pointer to the caller", "return a value instead");
  if (callback) {
    if (!result.is_scalar()) return reject(kType, EACCES, "R0 not a scalar value", "return 0 to go on or 1 to stop");
    mark_precise(0);
    if (result.var.smin < 0 || result.var.smax > 1)
      return reject(kType, EINVAL,
                    fmt::format("At callback return the register R0 has smin={} smax={} should have been in [0, 1]",
                                result.var.smin, result.var.smax),
                    "return 0 to go on or 1 to stop");
  }
  const Slot callsite = callee.callsite;
  state_.frames.pop_back();
  if (!callback) {
    depend(here(0), Location::reg(depth, 0));
    reg(0) = result;
    next_ = callsite + 1;
    return true;
  }
  next_ = callsite;
  if (State* previous = previous_visit(state_, callsite)) widen_against(*previous, state_);
  return true;
}

// Puts the walk into the callback aside as a branch; the current path goes on as if no further call happened.
bool Walk::push_callback(const CallArguments& call) {
  const std::string_view name = call.helper->name;
  const uint32_t subprogram = flow_.subprogram[*call.callback];
  std::array<Register, 5> arguments;
  CallbackKind kind = CallbackKind::kNone;
  auto of_map = [&](Kind what) {
    Register made = Register::pointer(what);
    made.map = call.map.map;
    made.spec = call.map.spec;
    made.lookup = call.map.lookup;
    if (what == Kind::kMapValue) made.id = fresh_id();
    return made;
  };
  if (name == "loop") {
    kind = CallbackKind::kLoop;
    mark_precise(1);
    if (state_.top().callback_depth >= reg(1).var.umax) {
      state_.top().callback_depth = 0;
      return true;
    }
    arguments = {Register::scalar(), reg(3), {}, {}, {}};
  } else if (name == "for_each_map_elem") {
    kind = CallbackKind::kForEach;
    arguments = {of_map(Kind::kMap), of_map(Kind::kMapKey), of_map(Kind::kMapValue), reg(3), {}};
  } else if (name == "user_ringbuf_drain") {
    kind = CallbackKind::kUserRingbuf;
    Register dynptr = Register::pointer(Kind::kDynptr);
    dynptr.read_only = true;
    dynptr.id = fresh_id();
    arguments = {dynptr, reg(3), {}, {}, {}};
  } else {
    // timer_set_callback: the callback runs on its own, from an empty stack.
    kind = CallbackKind::kTimer;
    asynchronous[subprogram] = true;
    arguments = {of_map(Kind::kMap), of_map(Kind::kMapKey), of_map(Kind::kMapValue), {}, {}};
    State start;
    start.frames.emplace_back();
    Frame& frame = start.top();
    frame.subprogram = subprogram;
    frame.asynchronous = true;
    frame.callsite = slot_;
    for (size_t i = 0; i < 5; ++i) frame.regs[i + 1] = arguments[i];
    frame.regs[10] = Register::pointer(Kind::kStack);
    start.written.fill(~uint64_t{0});
    // Not a continuation of this path: it has no checkpoints above it.
    work_.push_back({std::move(start), *call.callback, 0});
    return true;
  }
  for (Register& argument : arguments) argument.precise = false;
  State& inside = push_branch(*call.callback);
  if (!rejection.reason.empty()) return false;
  ++inside.callback_unroll_depth;
  ++inside.top().callback_depth;
  if (!enter_frame(inside, subprogram, kind, arguments)) return false;
  state_.top().callback_depth = 0;
  return true;
}

bool Walk::execute(const CallHelper& insn) {
  const HelperSignature* helper = find_helper(insn.id);
  if (!helper && helper_name(insn.id) == "unknown")
    return reject(kUnsupported, EINVAL, fmt::format("invalid func unknown#{}", insn.id),
                  "Linux 6.18 has no helper of this number");
  if (!helper)
    return reject(kUnsupported, EINVAL,
                  fmt::format("program of this type cannot use helper bpf_{}#{}", helper_name(insn.id), insn.id),
                  "Linux offers this helper to other program types only");
  if (helper->status == HelperStatus::kUnsupported)
    return reject(kUnsupported, EINVAL, fmt::format("helper bpf_{}#{} is not supported", helper->name, insn.id),
                  helper->note);
  if (helper->gpl_only && !program_.gpl_compatible)
    return reject(kType, EINVAL, "cannot call GPL-restricted function from non-GPL compatible program",
                  fmt::format("give the program a GPL-compatible license to use bpf_{}", helper->name));
  ++jumps_;
  CallArguments call;
  call.helper = helper;
  for (int i = 0; i < 5 && helper->args[static_cast<size_t>(i)] != ArgType::kNone; ++i)
    if (!check_argument(call, i)) return false;
  if (call.map.kind == Kind::kMap && !check_map_compatible(call)) return false;
  if (insn.id == kDynptrSlice || insn.id == kDynptrSliceRdwr) {
    if (!reg(4).is_constant() || reg(4).var.umin == 0)
      return reject(kMemory, EINVAL, "R4 is not a known constant above zero", "take slices of a constant size");
    call.alloc_size = static_cast<uint32_t>(reg(4).var.umin);
  }
  return finish_call(call);
}

// The effects of a call whose arguments are fine.
bool Walk::finish_call(const CallArguments& call) {
  const HelperSignature& helper = *call.helper;
  if (call.dynptr_out >= 0 && !make_dynptr(call)) return false;
  if (call.released.ref != 0 && !release_reference(call.released.ref)) return false;
  if (helper.name == "tail_call" && !check_reference_leak("tail_call")) return false;
  if (call.callback && !push_callback(call)) return false;

  const Range size_argument = helper.name == "probe_read_kernel_str" ? reg(2).var : Range{};
  if (!set_result(call)) return false;
  if (helper.name == "probe_read_kernel_str") {
    Range range = signed_range(-kMaxErrno, static_cast<int64_t>(size_argument.umax));
    reg(0) = Register::scalar(range);
  }
  for (int i = 0; i <= 5; ++i) {
    if (i > 0) reg(i) = Register{};
    depend(here(i));
  }
  if (helper.changes_packet) {
    facts.may_change_packet = true;
    forget_packet_pointers();
  }
  return true;
}

bool Walk::set_result(const CallArguments& call) {
  const HelperSignature& helper = *call.helper;
  const bool takes_socket = helper.name == "map_lookup_elem" && holds_sockets(call.map.spec);
  Register result = Register::scalar();
  switch (takes_socket ? RetType::kSocketOrNull : helper.ret) {
    case RetType::kInteger:
    case RetType::kNever:
      break;
    case RetType::kVoid:
      result = Register{};
      break;
    case RetType::kMapValueOrNull:
      result = Register::pointer(Kind::kMapValue);
      result.map = call.map.map;
      result.spec = call.map.spec;
      // An array always has its elements: a known index inside it cannot fail.
      result.maybe_null = !(call.constant_key >= 0 && call.constant_key < int64_t{call.map.spec->max_entries});
      if (result.spec->inner) result.maybe_null = true;
      break;
    case RetType::kMemoryOrNull:
    case RetType::kDynptrMemoryOrNull:
      result = Register::pointer(Kind::kMemory);
      result.mem_size = call.alloc_size;
      result.maybe_null = true;
      result.reservation = helper.acquires;
      result.read_only = call.dynptr_read_only || helper.id == kDynptrSlice;
      result.packet_slice = helper.id == kDynptrSlice || helper.id == kDynptrSliceRdwr;
      if (helper.ret == RetType::kDynptrMemoryOrNull) result.lookup = call.dynptr_id;
      break;
    case RetType::kSocketOrNull:
      result = Register::pointer(Kind::kSocket);
      result.maybe_null = true;
      result.mem_size = kSocketBytes;
      result.read_only = helper.name == "skc_lookup_tcp";  // a minisocket has the common fields only
      break;
    default:
      return reject(kUnsupported, EINVAL, fmt::format("helper bpf_{} is not supported", helper.name), helper.note);
  }
  if (is_null_pointer_type(helper.ret)) result.id = fresh_id();
  if (result.kind == Kind::kMapValue) result.lookup = call.map.lookup;
  if (helper.acquires || takes_socket) {
    result.ref = result.id;
    const bool in_callback = state_.top().callback != CallbackKind::kNone;
    state_.refs.push_back({result.ref, slot_, static_cast<uint8_t>(in_callback ? state_.depth_index() : 0)});
  }
  reg(0) = result;
  return true;
}

bool Walk::release_reference(uint32_t id) {
  const bool in_callback = state_.top().callback != CallbackKind::kNone;
  auto held = std::find_if(state_.refs.begin(), state_.refs.end(), [&](const Reference& ref) { return ref.id == id; });
  if (held == state_.refs.end() || (in_callback && held->callback_frame != state_.depth_index()))
    return reject(kReference, EINVAL, fmt::format("release of reference id={} that is not held here", id),
                  "release what this function acquired, and only once");
  state_.refs.erase(held);
  forget_references_to(id);
  return true;
}

// Pointers to what is gone become plain numbers.
void Walk::forget_references_to(uint32_t id) {
  for_each_register(state_, [&](Register& other) {
    if (other.ref == id && other.is_pointer()) other = Register::scalar();
  });
  for (Frame& frame : state_.frames)
    for (StackSlot& slot : frame.stack)
      if (slot.bytes[0] == ByteKind::kDynptr && slot.reg.ref == id) {
        const uint32_t dynptr = slot.dynptr_id;
        slot = StackSlot{};
        for_each_register(state_, [&](Register& other) {
          if (other.kind == Kind::kMemory && other.lookup == dynptr && dynptr != 0) other = Register::scalar();
        });
      }
}

void Walk::forget_packet_pointers() {
  for_each_register(state_, [](Register& other) {
    if (other.kind == Kind::kPacket || other.kind == Kind::kPacketMeta || other.kind == Kind::kPacketEnd ||
        other.packet_slice)
      other = Register::scalar();
  });
  state_.packet_bytes = 0;
  state_.packet_meta_bytes = 0;
}

}  // namespace xnic::compile::verify
