// SPDX-License-Identifier: Apache-2.0
// One function a form, after the layout of opcodes/nfp-dis.c: bpftool and objdump show a card's program like this.
#include <fmt/format.h>

#include <array>

#include "arch/nfp/text.hpp"

namespace xnic::arch::nfp {
namespace {

// A register that both banks receive is named after the bank whose field it stands in, A but for one case (LoadField).
std::string text_of(const Operand& operand, char both = 'A') {
  if (const auto* gpr = std::get_if<Gpr>(&operand))
    return fmt::format("gpr{}_{}", gpr->bank == Bank::kA ? 'A' : gpr->bank == Bank::kB ? 'B' : both, gpr->number);
  if (const auto* memory = std::get_if<Lm>(&operand)) {
    const std::string pointer = fmt::format("*l$index{}", memory->pointer);
    if (memory->step != Step::kNone) return pointer + (memory->step == Step::kIncrement ? "++" : "--");
    return memory->index == 0 ? pointer : fmt::format("{}[{}]", pointer, memory->index);
  }
  if (const auto* xfer = std::get_if<Transfer>(&operand)) return fmt::format("$xfer_{}", xfer->number);
  if (const auto* next = std::get_if<Neighbour>(&operand)) return fmt::format("n$reg_{}", next->number);
  if (const auto* immediate = std::get_if<Immediate>(&operand)) return fmt::format("0x{:x}", immediate->value);
  return "--";
}

std::string_view write_both(const Operand& dst) {
  const auto* gpr = std::get_if<Gpr>(&dst);
  return gpr != nullptr && gpr->bank == Bank::kBoth ? ", gpr_wrboth" : "";
}

std::string_view name_of(AluOp op) {
  switch (op) {
    case AluOp::kMove:
      return "B";
    case AluOp::kAdd:
      return "+";
    case AluOp::kNot:
      return "~B";
    case AluOp::kAdd16:
      return "+16";
    case AluOp::kAnd:
      return "AND";
    case AluOp::kAdd8:
      return "+8";
    case AluOp::kNotAnd:
      return "~AND";
    case AluOp::kSubCarry:
      return "-carry";
    case AluOp::kAndNot:
      return "AND~";
    case AluOp::kAddCarry:
      return "+carry";
    case AluOp::kOr:
      return "OR";
    case AluOp::kSub:
      return "-";
    case AluOp::kXor:
      return "XOR";
    case AluOp::kReverseSub:
      return "B-A";
  }
  return "";
}

std::string amount_of(ShiftKind kind, unsigned amount) {
  if (kind == ShiftKind::kRotate) return fmt::format(">>rot{}", amount);
  const std::string_view direction = kind == ShiftKind::kLeft ? "<<" : ">>";
  return amount == 0 ? fmt::format("{}indirect", direction) : fmt::format("{}{}", direction, amount);
}

std::string defer_of(unsigned defer) { return defer == 0 ? "" : fmt::format(", defer[{}]", defer); }

std::string text(const Alu& insn) {
  return fmt::format("alu[{}, {}, {}, {}]{}", text_of(insn.dst), text_of(insn.left), name_of(insn.op),
                     text_of(insn.right), write_both(insn.dst));
}

std::string text(const Shift& insn) {
  static constexpr std::array<std::string_view, 6> kNames = {"B", "~B", "AND", "~AND", "AND~", "OR"};
  const std::string end =
      fmt::format("{}, {}]{}", text_of(insn.right), amount_of(insn.kind, insn.amount), write_both(insn.dst));
  if (insn.kind == ShiftKind::kDoubleRight)
    return fmt::format("dbl_shf[{}, {}, {}", text_of(insn.dst), text_of(insn.left), end);
  if (insn.op == ShiftOp::kArithmetic) return fmt::format("asr[{}, {}", text_of(insn.dst), end);
  return fmt::format("alu_shf[{}, {}, {}, {}", text_of(insn.dst), text_of(insn.left),
                     kNames[static_cast<size_t>(insn.op)], end);
}

std::string text(const LoadField& insn) {
  const auto* source = std::get_if<Gpr>(&insn.src);
  const bool swapped = source != nullptr && source->bank == Bank::kA;
  std::string shift;
  if (insn.kind == ShiftKind::kDoubleRight) {
    shift = fmt::format(", >>dbl{}", insn.amount);
  } else if (insn.kind != ShiftKind::kRotate || insn.amount != 0) {
    shift = ", " + amount_of(insn.kind, insn.amount);
  }
  return fmt::format("{}[{}, {:04b}, {}{}]{}", insn.clear ? "ld_field_w_clr" : "ld_field",
                     text_of(insn.dst, swapped ? 'B' : 'A'), insn.mask, text_of(insn.src), shift, write_both(insn.dst));
}

std::string text(const LoadImmediate& insn) {
  if (is_nop(insn)) return "nop";
  const uint32_t value = insn.invert ? ~uint32_t{insn.value} : uint32_t{insn.value};
  switch (insn.width) {
    case ImmediateWidth::kByte:
      return fmt::format("immed_b{}[{}, 0x{:x}]{}", insn.shift, text_of(insn.dst), value & 0xff, write_both(insn.dst));
    case ImmediateWidth::kWord:
      return fmt::format("immed_w{}[{}, 0x{:x}]{}", insn.shift / 2, text_of(insn.dst), value & 0xffff,
                         write_both(insn.dst));
    case ImmediateWidth::kAll:
      break;
  }
  const std::string shift = insn.shift == 0 ? "" : fmt::format(", <<{}", insn.shift * 8);
  return fmt::format("immed[{}, 0x{:x}{}]{}", text_of(insn.dst), value, shift, write_both(insn.dst));
}

std::string text(const Branch& insn) {
  static constexpr std::array<std::string_view, 12> kNames = {"beq", "bne", "bmi", "bpl", "bcs", "bcc",
                                                              "bvs", "bvc", "bge", "blt", "ble", "bgt"};
  const std::string_view name =
      insn.condition == Condition::kAlways ? "br" : kNames[static_cast<size_t>(insn.condition)];
  return fmt::format("{}[.{}]{}", name, insn.target, defer_of(insn.defer));
}

std::string text(const BranchBit& insn) {
  return fmt::format("{}[{}, {}, .{}]{}", insn.set ? "br_bset" : "br_bclr", text_of(insn.src), insn.bit, insn.target,
                     defer_of(insn.defer));
}

std::string text(const BranchByte& insn) {
  return fmt::format("{}[{}, {}, 0x{:x}, .{}]{}", insn.equal ? "br=byte" : "br!=byte", text_of(insn.src), insn.byte,
                     insn.value, insn.target, defer_of(insn.defer));
}

std::string text(const JumpRegister& insn) {
  const std::string base = text_of(insn.base);
  if (insn.offset == 0) return fmt::format("rtn[{}]{}", base, defer_of(insn.defer));
  return fmt::format("jump[{}, .{}]{}", base, insn.offset, defer_of(insn.defer));
}

std::string text(const Multiply& insn) {
  static constexpr std::array<std::string_view, 4> kTypes = {"start", "24x8", "16x16", "32x32"};
  static constexpr std::array<std::string_view, 6> kSteps = {"step1", "step2", "step3", "step4", "last", "last2"};
  const bool last = insn.step >= MultiplyStep::kLast;
  std::string type(kTypes[static_cast<size_t>(insn.type)]);
  if (insn.type != MultiplyType::kStart) type += fmt::format("_{}", kSteps[static_cast<size_t>(insn.step)]);
  // A last step without destination shows the field's bits, which read as an immediate.
  const std::string first =
      last && std::holds_alternative<None>(insn.dst) ? "0x0" : text_of(last ? insn.dst : insn.left);
  return fmt::format("mul_step[{}, {}], {}{}", first, text_of(insn.right), type, last ? write_both(insn.dst) : "");
}

struct CommandText {
  std::string_view name;
  std::string_view name64;
};
constexpr std::array kCommandTexts = {
#define XNIC_NFP_COMMAND(name, target, token, text, text64) CommandText{text, text64},
    XNIC_NFP_COMMANDS(XNIC_NFP_COMMAND)
#undef XNIC_NFP_COMMAND
};

std::string text(const Command& insn) {
  const CommandText names = kCommandTexts[static_cast<size_t>(insn.op)];
  std::string address;
  switch (insn.mode) {
    case AddressMode::k40LeftHigh:
      address = fmt::format("{}, <<8, {}", text_of(insn.left), text_of(insn.right));
      break;
    case AddressMode::k40RightHigh:
      address = fmt::format("{}, <<8, {}", text_of(insn.right), text_of(insn.left));
      break;
    case AddressMode::k32:
      address = fmt::format("{}, {}", text_of(insn.left), text_of(insn.right));
      break;
  }
  std::string line = fmt::format("mem[{}, $xfer_{}, {}, {}]{}", (insn.length & 4) != 0 ? names.name64 : names.name,
                                 insn.xfer, address, insn.length + 1, insn.indirect ? ", indirect_ref" : "");
  const std::string signal = insn.signal == 0 ? "--" : fmt::format("sig{}", insn.signal);
  if (insn.swap != Swap::kNever)
    return line + fmt::format(", ctx_swap[{}]{}", signal, defer_of(static_cast<unsigned>(insn.swap)));
  return insn.signal == 0 ? line : line + fmt::format(", sig_done[{}]", signal);
}

std::string csr_name(unsigned address) {
  switch (address) {
    case 0x64:
      return "ActLMAddr0";
    case 0x6c:
      return "ActLMAddr1";
    case 0x94:
      return "ActLMAddr2";
    case 0x9c:
      return "ActLMAddr3";
    case kCsrRandom:
      return "PseudoRndNum";
    default:
      return fmt::format("0x{:x}", address);
  }
}

std::string text(const CsrWrite& insn) {
  return fmt::format("local_csr_wr[{}, {}]", csr_name(insn.address), text_of(insn.src));
}
std::string text(const CsrRead& insn) { return fmt::format("local_csr_rd[{}]", csr_name(insn.address)); }

}  // namespace

std::string to_text(const Instruction& insn) {
  return std::visit([](const auto& form) { return text(form); }, insn);
}

}  // namespace xnic::arch::nfp
