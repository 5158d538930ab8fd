// SPDX-License-Identifier: Apache-2.0
// Words: registers and states in the notation of the kernel's log, rejections with source line and state, the log.
#include <fmt/core.h>

#include <algorithm>

#include "arch/ebpf/print.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {
namespace {

constexpr size_t kMaxLogBytes =
    64u << 20;  // what a caller's buffer can be expected to hold; then the log stops growing

void add_bounds(std::string& out, const Range& var) {
  auto item = [&](const std::string& text) {
    if (!out.empty()) out += ',';
    out += text;
  };
  if (var.smin != INT64_MIN && !(var.smin >= 0 && static_cast<uint64_t>(var.smin) == var.umin))
    item(fmt::format("smin={}", var.smin));
  if (var.smax != INT64_MAX && static_cast<uint64_t>(var.smax) != var.umax) item(fmt::format("smax={}", var.smax));
  if (var.umin != 0) item(fmt::format("umin={}", var.umin));
  if (var.umax != UINT64_MAX) item(fmt::format("umax={}", var.umax));
  if (var.bits.mask != UINT64_MAX) item(fmt::format("var_off=(0x{:x}; 0x{:x})", var.bits.value, var.bits.mask));
}

}  // namespace

std::string_view kind_name(const Register& reg) {
  switch (reg.kind) {
    case Kind::kUnset:
      return "?";
    case Kind::kScalar:
      return "scalar";
    case Kind::kContext:
      return "ctx";
    case Kind::kPacket:
      return "pkt";
    case Kind::kPacketMeta:
      return "pkt_meta";
    case Kind::kPacketEnd:
      return "pkt_end";
    case Kind::kStack:
      return "fp";
    case Kind::kMap:
      return "map_ptr";
    case Kind::kMapKey:
      return "map_key";
    case Kind::kMapValue:
      return reg.maybe_null ? "map_value_or_null" : "map_value";
    case Kind::kMemory:
      if (reg.reservation) return reg.maybe_null ? "ringbuf_mem_or_null" : "ringbuf_mem";
      return reg.maybe_null ? "mem_or_null" : "mem";
    case Kind::kFunction:
      return "func";
    case Kind::kDynptr:
      return "dynptr_ptr";
    case Kind::kSocket:
      return reg.maybe_null ? "sock_or_null" : "sock";
  }
  return "?";
}

std::string describe(const Register& reg) {
  if (reg.kind == Kind::kUnset) return "?";
  std::string detail;
  auto item = [&](const std::string& text) {
    if (!detail.empty()) detail += ',';
    detail += text;
  };
  if (reg.is_constant()) return fmt::format("{}", static_cast<int64_t>(reg.var.umin));
  if (reg.is_scalar()) {
    if (reg.id) item(fmt::format("id={}{}", reg.id, reg.has_addend ? fmt::format("+{}", reg.offset) : ""));
    add_bounds(detail, reg.var);
    return fmt::format("scalar({})", detail);
  }
  if (reg.kind == Kind::kStack && reg.has_fixed_offset())
    return reg.frame ? fmt::format("fp[{}]{}", reg.frame, reg.offset) : fmt::format("fp{}", reg.offset);
  if (reg.id) item(fmt::format("id={}", reg.id));
  if (reg.ref) item(fmt::format("ref_obj_id={}", reg.ref));
  if (reg.offset) item(fmt::format("off={}", reg.offset));
  if (reg.kind == Kind::kPacket || reg.kind == Kind::kPacketMeta) item(fmt::format("r={}", reg.packet_range));
  if (reg.spec && !reg.spec->name.empty()) item(fmt::format("map={}", reg.spec->name));
  if (reg.spec) item(fmt::format("ks={},vs={}", reg.spec->key_size, reg.spec->value_size));
  if (reg.kind == Kind::kMemory) item(fmt::format("sz={}", reg.mem_size));
  if (!reg.has_fixed_offset()) add_bounds(detail, reg.var);
  return fmt::format("{}({})", kind_name(reg), detail);
}

std::string describe(const State& state) {
  std::string text;
  if (state.frames.empty()) return text;
  const Frame& frame = state.top();
  for (int r = 0; r < kRegCount; ++r) {
    const Register& reg = frame.regs[static_cast<size_t>(r)];
    if (reg.kind == Kind::kUnset) continue;
    text += fmt::format("{}R{}={}", text.empty() ? "" : " ", r, describe(reg));
  }
  for (size_t s = 0; s < frame.stack.size(); ++s) {
    const StackSlot& slot = frame.stack[s];
    const int offset = -8 * (static_cast<int>(s) + 1);
    std::string bytes;
    for (ByteKind byte : slot.bytes) bytes += "?m0rd"[static_cast<int>(byte)];
    if (slot.is_full_spill())
      text += fmt::format(" fp{}={}", offset, describe(slot.reg));
    else if (bytes != "????????")
      text += fmt::format(" fp{}={}", offset, bytes);
  }
  for (const Reference& ref : state.refs) text += fmt::format(" refs={}", ref.id);
  return text;
}

std::string source_text(const Program& program, Slot slot) {
  if (slot >= program.insns.size()) return "";
  const LineInfo* line = program.line_at(slot);
  return line ? fmt::format("{}:{}: {}", line->file, line->line, line->text) : "";
}

Rejection make_rejection(const Program& program, const Fault& fault) {
  return {fault.kind, fault.slot, fault.error, fault.reason, fault.advice, source_text(program, fault.slot), ""};
}

bool Walk::reject(Rejection::Kind kind, int error, std::string reason, std::string_view advice) {
  rejection.kind = kind;
  rejection.slot = slot_;
  rejection.error = error;
  rejection.reason = std::move(reason);
  rejection.advice = std::string(advice);
  rejection.source = source_text(program_, slot_);
  rejection.state = describe(state_);
  return false;
}

// "; text @ file:line" when the source line changes, then "7: (bf) r6 = r1 ; R1=ctx() …".
void Walk::log_visit() {
  if (log.size() > kMaxLogBytes) return;
  const LineInfo* line = program_.line_at(slot_);
  const Slot shown = line ? line->slot : ~Slot{0};
  if (line && shown != last_shown_) {
    const size_t slash = line->file.rfind('/');
    log += fmt::format("; {} @ {}:{}\n", line->text,
                       slash == std::string::npos ? line->file : line->file.substr(slash + 1), line->line);
  }
  last_shown_ = shown;
  const unsigned opcode = slot_ < program_.raw.size() ? program_.raw[slot_].opcode : 0;
  log += fmt::format("{}: ({:02x}) {:<30} ; {}\n", slot_, opcode, to_text(program_, slot_), describe(state_));
}

}  // namespace xnic::compile::verify
