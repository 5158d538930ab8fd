// SPDX-License-Identifier: Apache-2.0
// One overload per instruction type, in the words that the kernel's verifier log uses (kernel/bpf/disasm.c). What the
// kernel prints as an address that only it knows (maps, subprograms, kernel variables) is printed as the reference that
// the program made, in the way of bpftool.
#include "arch/ebpf/print.hpp"

#include <fmt/format.h>

#include <iterator>

#include "arch/ebpf/codec.hpp"
#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/text_tables.hpp"
#include "base/check.hpp"

namespace xnic::arch::ebpf {
namespace {

std::string name(Reg reg, Width width = Width::k64) {
  return fmt::format("{}{}", width == Width::k64 ? 'r' : 'w', index(reg));
}

std::string memory(std::string_view type, Reg base, int16_t offset) {
  return fmt::format("({} *)({} {:+})", type, name(base), offset);
}
std::string memory(Size size, Reg base, int16_t offset) {
  return memory(text::word(text::kSizeWords, size), base, offset);
}

struct Printer {
  const Program& program;
  Slot slot;
  TextForm form;

  std::string displacement(Slot target) const { return fmt::format("{:+}", int64_t{target} - slot - 1); }
  std::string map(MapIndex index) const {
    if (form == TextForm::kBpftool && index < program.maps.size() && !program.maps[index].name.empty()) {
      return fmt::format("map[name:{}]", program.maps[index].name);
    }
    return fmt::format("map[{}]", index);
  }

  std::string operator()(const Binary& i) const {
    const std::string_view op = text::word(text::kBinaryWords, i.op);
    if (const Reg* src = std::get_if<Reg>(&i.src)) {
      return fmt::format("{} {} {}", name(i.dst, i.width), op, name(*src, i.width));
    }
    return fmt::format("{} {} {}", name(i.dst, i.width), op, std::get<Imm>(i.src));
  }
  std::string operator()(const MovSx& i) const {
    return fmt::format("{} = (s{}){}", name(i.dst, i.width), i.bits, name(i.src, i.width));
  }
  std::string operator()(const Neg& i) const {
    return fmt::format("{} = -{}", name(i.dst, i.width), name(i.dst, i.width));
  }
  std::string operator()(const Swap& i) const {
    return fmt::format("{} = {}{} {}", name(i.dst), text::word(text::kSwapWords, i.kind), i.bits, name(i.dst));
  }
  std::string operator()(const LoadImm64& i) const { return fmt::format("{} = {:#x}", name(i.dst), i.value); }
  std::string operator()(const LoadMap& i) const { return fmt::format("{} = {}", name(i.dst), map(i.map)); }
  std::string operator()(const LoadMapValue& i) const {
    return fmt::format("{} = {}[0]+{}", name(i.dst), map(i.map), i.offset);
  }
  std::string operator()(const LoadFunction& i) const {
    return fmt::format("{} = subprog[{}]", name(i.dst), displacement(i.target));
  }
  std::string operator()(const LoadKernelVariable& i) const {
    return fmt::format("{} = variable[{}:{}]", name(i.dst), i.btf_id, i.btf_fd);
  }
  std::string operator()(const WideTail&) const { return ""; }
  std::string operator()(const LoadPacket& i) const {
    const std::string_view type = text::word(text::kSizeWords, i.size);
    if (i.indirect) return fmt::format("r0 = *({} *)skb[{} + {}]", type, name(i.src), i.offset);
    return fmt::format("r0 = *({} *)skb[{}]", type, i.offset);
  }
  std::string operator()(const Load& i) const {
    const std::string_view type =
        i.sign_extend ? text::word(text::kSignedSizeWords, i.size) : text::word(text::kSizeWords, i.size);
    return fmt::format("{} = *{}", name(i.dst), memory(type, i.src, i.offset));
  }
  std::string operator()(const Store& i) const {
    const std::string to = memory(i.size, i.dst, i.offset);
    if (const Reg* src = std::get_if<Reg>(&i.src)) return fmt::format("*{} = {}", to, name(*src));
    return fmt::format("*{} = {}", to, std::get<Imm>(i.src));
  }
  std::string operator()(const Atomic& i) const {
    const std::string at = memory(i.size, i.dst, i.offset);
    const std::string_view bits = i.size == Size::k8 ? "64" : "";
    switch (i.op) {
      case AtomicOp::kLoadAcquire:
        return fmt::format("{} = load_acquire({})", name(i.dst), memory(i.size, i.src, i.offset));
      case AtomicOp::kStoreRelease:
        return fmt::format("store_release({}, {})", at, name(i.src));
      case AtomicOp::kXchg:
        return fmt::format("{} = atomic{}_xchg({}, {})", name(i.src), bits, at, name(i.src));
      case AtomicOp::kCmpxchg:
        return fmt::format("r0 = atomic{}_cmpxchg({}, r0, {})", bits, at, name(i.src));
      default:
        break;
    }
    for (const auto& words : text::kAtomicWords) {
      if (words.op != i.op) continue;
      if (!i.fetch) return fmt::format("lock *{} {} {}", at, words.assignment, name(i.src));
      return fmt::format("{} = atomic{}_fetch_{}({}, {})", name(i.src), bits, words.name, at, name(i.src));
    }
    base::check_failed(__FILE__, __LINE__, "an atomic operation has words");
  }
  std::string operator()(const Jump& i) const {
    const std::string left = fmt::format("if {} {} ", name(i.dst, i.width), text::word(text::kJumpWords, i.op));
    const Reg* src = std::get_if<Reg>(&i.src);
    const std::string right =
        src ? name(*src, i.width) : fmt::format("{:#x}", static_cast<uint32_t>(std::get<Imm>(i.src)));
    return fmt::format("{}{} goto pc{}", left, right, displacement(i.target));
  }
  std::string operator()(const Goto& i) const {
    return fmt::format("{} pc{}", i.wide ? "gotol" : "goto", displacement(i.target));
  }
  std::string operator()(const MayGoto& i) const { return fmt::format("may_goto pc{}", displacement(i.target)); }
  std::string operator()(const CallHelper& i) const {
    const std::string_view known = helper_name(i.id);
    return fmt::format("call {}{}#{}", known == "unknown" ? "" : "bpf_", known, static_cast<int32_t>(i.id));
  }
  std::string operator()(const CallLocal& i) const {
    std::string callee;
    if (form == TextForm::kBpftool) {
      for (const Subprogram& sub : program.subprograms) {
        if (sub.first == i.target && !sub.name.empty()) callee = "#" + sub.name;
      }
    }
    return fmt::format("call pc{}{}", displacement(i.target), callee);
  }
  std::string operator()(const CallKernel& i) const {
    if (i.btf_fd_index == 0) return fmt::format("call kernel-function#{}", i.btf_id);
    return fmt::format("call kernel-function#{}:{}", i.btf_id, i.btf_fd_index);
  }
  std::string operator()(const CallRegister& i) const { return "callx " + name(i.reg); }
  std::string operator()(const Exit&) const { return "exit"; }
};

}  // namespace

std::string to_text(const Program& program, Slot slot, TextForm form) {
  CHECK(slot < program.insns.size());
  return std::visit(Printer{program, slot, form}, program.insns[slot]);
}

std::string listing(const Program& program, TextForm form) {
  const std::vector<RawInsn> raw = encode(program.insns);
  std::string out;
  size_t next_line = 0;
  for (Slot slot = 0; slot < program.insns.size(); ++slot) {
    if (std::holds_alternative<WideTail>(program.insns[slot])) continue;
    for (const Subprogram& sub : program.subprograms) {
      if (sub.first == slot && program.subprograms.size() > 1) out += sub.name + ":\n";
    }
    for (; next_line < program.lines.size() && program.lines[next_line].slot <= slot; ++next_line) {
      if (!program.lines[next_line].text.empty()) out += "; " + program.lines[next_line].text + "\n";
    }
    fmt::format_to(std::back_inserter(out), "{:4}: ({:02x}) {}\n", slot, raw[slot].opcode,
                   to_text(program, slot, form));
  }
  return out;
}

}  // namespace xnic::arch::ebpf
