// SPDX-License-Identifier: Apache-2.0
// Text form of operations, call sites and rows.
#include <fmt/format.h>

#include <iterator>

#include "arch/hxdp/text.hpp"
#include "arch/hxdp/text_tables.hpp"

namespace xnic::arch::hxdp {

namespace {

using ebpf::Overloaded;

using namespace text;

char letter(Width width) { return width == Width::k64 ? 'r' : 'w'; }
std::string words(Width width, const Operand& operand) {
  if (const Reg* reg = std::get_if<Reg>(&operand)) return fmt::format("{}{}", letter(width), *reg);
  return fmt::format("{}", std::get<Imm>(operand));
}

std::string words(const Memory& m) {
  const std::string name = fmt::format("{}{}", kMemoryWords[size_t(m.space)], m.bytes);
  if (m.space == Space::kRegister) return fmt::format("{}[r{}{:+}]", name, m.base, m.offset);
  if (m.space == Space::kMapValue) return fmt::format("{}[{}:{}]", name, m.map, unsigned_offset(m));
  return fmt::format("{}[{}]", name, unsigned_offset(m));
}

std::string words(const Address& o) {
  const std::string_view name = kAddressWords[size_t(o.space)];
  const bool of_map = o.space == Space::kMapValue || o.space == Space::kMap;
  return of_map ? fmt::format("{} {}{:+}", name, o.map, o.offset) : fmt::format("{}{:+}", name, o.offset);
}

std::string words(const Argument& arg) {
  using Kind = Argument::Kind;
  switch (arg.kind) {
    case Kind::kNone:
      return "-";
    case Kind::kRegister:
      return fmt::format("r{}", arg.reg);
    case Kind::kConstant:
      return fmt::format("{}", arg.value);
    case Kind::kStack:
      return fmt::format("stack{:+}", arg.value);
    case Kind::kPacket:
      return fmt::format("data{:+}", arg.value);
    case Kind::kContext:
      return fmt::format("ctx{:+}", arg.value);
    case Kind::kMap:
      return fmt::format("map {}", arg.map);
    case Kind::kMapValue:
      return fmt::format("value {}{:+}", arg.map, arg.value);
    case Kind::kRegisterBytes:
      return fmt::format("bytes r{}", arg.reg);
    case Kind::kConstantBytes:
      return fmt::format("bytes {}", arg.value);
  }
  return "?";
}

std::string call_text(uint16_t index, const std::vector<CallSite>& sites) {
  if (index >= sites.size()) return fmt::format("call site {}", index);
  const CallSite& site = sites[index];
  size_t count = site.args.size();
  while (count > 0 && site.args[count - 1].kind == Argument::Kind::kNone) count--;
  std::string out = fmt::format("call {}(", ebpf::helper_name(site.helper));
  for (size_t i = 0; i < count; i++) out += (i ? ", " : "") + words(site.args[i]);
  return out + ")";
}

}  // namespace

std::string to_text(const Op& op, const std::vector<CallSite>& sites) {
  return std::visit(
      Overloaded{
          [](const Nop&) { return std::string("-"); },
          [](const Alu& o) {
            return fmt::format("{0}{1} = {0}{2} {3} {4}", letter(o.width), o.dst, o.a, kAluWords[int(o.op)],
                               words(o.width, o.b));
          },
          [](const Move& o) { return fmt::format("{}{} = {}", letter(o.width), o.dst, words(o.width, o.src)); },
          [](const MoveHigh& o) { return fmt::format("r{} = w{} high {}", o.dst, o.a, o.imm); },
          [](const SignExtend& o) { return fmt::format("{}{} = s{} r{}", letter(o.width), o.dst, o.bits, o.src); },
          [](const Swap& o) { return fmt::format("r{} = swap{} r{}", o.dst, o.bits, o.src); },
          [](const FoldSum& o) {
            return fmt::format("r{} = {}fold r{} + {}", o.dst, o.invert ? "~" : "", o.a, words(Width::k64, o.b));
          },
          [](const Select& o) {
            return fmt::format("r{} = r{} if r{} {} {}", o.dst, o.value, o.a, kJumpWords[int(o.op)], o.b);
          },
          [](const Address& o) { return fmt::format("r{} = {}", o.dst, words(o)); },
          [](const Load& o) {
            return fmt::format("r{} = {}{}{}{}", o.dst, words(o.from), o.sign_extend ? ".s" : "",
                               o.big_endian ? ".be" : "", o.speculative ? ".spec" : "");
          },
          [](const Store& o) {
            return fmt::format("{} = {}{}", words(o.to), words(Width::k64, o.src), o.big_endian ? ".be" : "");
          },
          [](const AddMemory& o) { return fmt::format("{} += {}", words(o.to), words(Width::k64, o.src)); },
          [](const Atomic& o) {
            std::string out = o.fetch ? fmt::format("r{} = ", o.dst) : std::string();
            out += fmt::format("atomic {} {}, r{}", kAtomicWords[int(o.op)], words(o.to), o.src);
            return o.op == AtomicOp::kCmpxchg ? out + fmt::format(", r{}", o.expected) : out;
          },
          [](const Branch& o) {
            return fmt::format("if {}{} {} {} goto {}", letter(o.width), o.a, kJumpWords[int(o.op)],
                               words(o.width, o.b), o.target);
          },
          [](const BranchPacket& o) {
            return fmt::format("if packet {} {} goto {}", o.at_least ? ">=" : "<", o.bytes, o.target);
          },
          [](const Goto& o) { return fmt::format("goto {}", o.target); },
          [&](const Call& o) {
            return (o.has_result ? fmt::format("r{} = ", o.dst) : std::string()) + call_text(o.site, sites);
          },
          [&](const CallExit& o) { return "exit " + call_text(o.site, sites); },
          [](const Exit& o) { return fmt::format("exit {}", o.verdict); },
          [](const ExitRegister& o) { return fmt::format("exit w{}", o.src); },
      },
      op);
}

std::string listing(const Image& image, bool with_source) {
  std::string out;
  for (Row row = 0; row < image.rows.size(); row++) {
    out += fmt::format("{:4}", row);
    uint32_t last = kNoSlot;
    std::string source;
    for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
      out += fmt::format(" | {:<30}", to_text(image.rows[row].lanes[lane], image.call_sites));
      const uint32_t slot = image.slots[row][lane];
      const ebpf::LineInfo* line = slot == last ? nullptr : image.line_at(slot);
      if (line) source += fmt::format("{}{}: {}", source.empty() ? "" : "  /  ", line->line, line->text);
      last = slot;
    }
    if (with_source && !source.empty()) out += "  ; " + source;
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  }
  return out;
}

}  // namespace xnic::arch::hxdp
