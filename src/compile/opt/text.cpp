// SPDX-License-Identifier: Apache-2.0
// "packet2[12].be" is a load of 2 bytes at data + 12 in network order, "mem4[X+8]" one at the address X + 8; "p7" is a
// phi, "r3" the result of effect 3. Values are trees here, so shared ones are written more than once.
#include <fmt/format.h>

#include <set>

#include "arch/ebpf/helpers.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

namespace {

constexpr const char* kAluWords[] = {"+", "-", "*", "/", "|", "&", "<<", ">>", "%", "^", "s>>", "s/", "s%", "rsub"};
constexpr const char* kJumpWords[] = {"==", ">", ">=", "&", "!=", "s>", "s>=", "<", "<=", "s<", "s<="};
constexpr const char* kSpaceWords[] = {"reg",   "data", "data_end", "data_meta", "packet_bytes",
                                       "stack", "ctx",  "value",    "map"};

struct Printer {
  const Graph& g;

  std::string place(const Loc& loc) const {
    switch (loc.mode) {
      case Space::kPacket:
        return fmt::format("packet{}[{}]", loc.bytes, loc.off);
      case Space::kStack:
        return fmt::format("stack{}[{}]", loc.bytes, loc.off);
      case Space::kContext:
        return fmt::format("ctx{}[{}]", loc.bytes, loc.off);
      case Space::kMapValue:
        return fmt::format("map{}[{}:{}]", loc.bytes, loc.map, loc.off);
      default:
        return fmt::format("mem{}[{}{:+}]", loc.bytes, value(loc.base), loc.off);
    }
  }
  std::string call(uint32_t index) const {
    const CallInfo& info = g.calls[index];
    std::string out = fmt::format("{}(", arch::ebpf::helper_name(info.helper));
    for (const CallArg& arg : info.args) {
      if (arg.node == kNone) continue;
      out += (out.back() == '(' ? "" : ", ") + std::string(arg.bytes ? "bytes " : "") + value(arg.node);
    }
    return out + ")";
  }
  std::string value(NodeId id) const {
    const Node& n = g.node(id);
    const char* narrow = n.width == Width::k32 ? "w" : "";
    switch (n.kind) {
      case NodeKind::kConst:
        return fmt::format("{}", int64_t(n.value));
      case NodeKind::kAddress:
        if (n.space == Space::kMap) return fmt::format("map {}", n.map);
        if (n.space == Space::kMapValue) return fmt::format("value {}{:+}", n.map, int64_t(n.value));
        return fmt::format("{}{:+}", kSpaceWords[int(n.space)], int64_t(n.value));
      case NodeKind::kAlu:
        return fmt::format("({} {}{} {})", value(n.a), narrow, kAluWords[int(n.op)], value(n.b));
      case NodeKind::kSext:
        return fmt::format("{}sext{}({})", narrow, n.bits, value(n.a));
      case NodeKind::kSwap:
        return fmt::format("swap{}({})", n.bits, value(n.a));
      case NodeKind::kFold:
        return fmt::format("{}fold({}, {})", n.flag ? "~" : "", value(n.a), value(n.b));
      case NodeKind::kLoad:
        return place(n.loc) + (n.flag ? ".s" : "") + (n.big ? ".be" : "");
      case NodeKind::kCall:
        return call(n.site);
      case NodeKind::kResult:
        return fmt::format("r{}", n.site);
      case NodeKind::kPhi:
        return fmt::format("p{}", id);
    }
    return "?";
  }
  std::string condition(const Cond& c) const {
    if (c.packet) return fmt::format("packet {} {}", c.at_least ? ">=" : "<", c.bytes);
    return fmt::format("{} {}{} {}", value(c.a), c.width == Width::k32 ? "w" : "", kJumpWords[int(c.op)], value(c.b));
  }
  std::string effect(EffectId id) const {
    const Effect& e = g.effects[id];
    constexpr const char* kAtomics[] = {"add", "or", "and", "xor", "xchg", "cmpxchg", "acquire", "release"};
    const std::string result = e.result == kNone ? "" : fmt::format("r{} = ", id);
    switch (e.kind) {
      case EffectKind::kStore:
        return fmt::format("{} = {}{}", place(e.loc), value(e.value), e.big ? ".be" : "");
      case EffectKind::kAdd:
        return fmt::format("{} += {}", place(e.loc), value(e.value));
      case EffectKind::kAtomic:
        return fmt::format("{}{} {}, {}", result, kAtomics[int(e.op)], place(e.loc), value(e.value));
      case EffectKind::kCall:
        return result + call(e.call);
      default:
        return "?";
    }
  }
  std::string end(const Block& b) const {
    std::string args;
    for (NodeId arg : b.args) args += " " + value(arg);
    switch (b.end) {
      case Block::End::kBranch:
        return fmt::format("if {} goto b{} else b{}", condition(b.cond), b.taken, b.next);
      case Block::End::kGoto:
        return fmt::format("goto b{}{}", b.next, args);
      case Block::End::kExit:
        return "exit " + value(b.verdict);
      default:
        return "open";
    }
  }
};

}  // namespace

std::string to_text(const Graph& graph, NodeId value) { return Printer{graph}.value(value); }

std::string to_text(const Graph& graph) {
  const Printer printer{graph};
  std::string out;
  std::set<BlockId> waiting{0}, done;
  while (!waiting.empty()) {
    const BlockId id = *waiting.begin();
    waiting.erase(waiting.begin());
    if (!done.insert(id).second) continue;
    const Block& b = graph.blocks[id];
    out += fmt::format("b{}", id);
    for (NodeId phi : b.phis) out += fmt::format(" p{}", phi);
    out += "\n";
    for (EffectId e : b.effects) {
      if (!graph.effects[e].dead) out += "  " + printer.effect(e) + "\n";
    }
    out += "  " + printer.end(b) + "\n";
    for (BlockId to : {b.taken, b.next}) {
      if (to != kNone && !done.count(to)) waiting.insert(to);
    }
  }
  return out;
}

}  // namespace xnic::compile::opt
