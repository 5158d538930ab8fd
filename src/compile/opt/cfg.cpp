// SPDX-License-Identifier: Apache-2.0
// Basic blocks and loops. Edges of a local call lead to the instruction after it: what lies in the callee is another
// subprogram's graph.
#include "compile/opt/cfg.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace xnic::compile::opt {

namespace {

using namespace arch::ebpf;

bool is_end(const Instruction& insn) {
  return std::holds_alternative<Jump>(insn) || std::holds_alternative<Goto>(insn) ||
         std::holds_alternative<Exit>(insn) || std::holds_alternative<CallLocal>(insn) ||
         std::holds_alternative<CallRegister>(insn) || std::holds_alternative<MayGoto>(insn);
}
int64_t target_of(const Instruction& insn) {
  if (const auto* jump = std::get_if<Jump>(&insn)) return jump->target;
  if (const auto* jump = std::get_if<Goto>(&insn)) return jump->target;
  if (const auto* jump = std::get_if<MayGoto>(&insn)) return jump->target;
  return -1;
}
bool falls_through(const Instruction& insn) {
  return !std::holds_alternative<Goto>(insn) && !std::holds_alternative<Exit>(insn);
}
uint16_t writes(const Instruction& insn) {
  const auto bit = [](Reg reg) { return uint16_t(1u << index(reg)); };
  return std::visit(
      Overloaded{[&](const Binary& i) { return bit(i.dst); }, [&](const MovSx& i) { return bit(i.dst); },
                 [&](const Neg& i) { return bit(i.dst); }, [&](const Swap& i) { return bit(i.dst); },
                 [&](const LoadImm64& i) { return bit(i.dst); }, [&](const LoadMap& i) { return bit(i.dst); },
                 [&](const LoadMapValue& i) { return bit(i.dst); }, [&](const LoadFunction& i) { return bit(i.dst); },
                 [&](const Load& i) { return bit(i.dst); },
                 [&](const Atomic& i) { return uint16_t(bit(i.src) | bit(i.dst) | 1); },
                 [&](const CallHelper&) { return uint16_t(0x3f); }, [&](const CallLocal&) { return uint16_t(0x3f); },
                 [&](const CallRegister&) { return uint16_t(0x3f); },
                 [&](const MayGoto&) { return uint16_t(1u << kRegCount); },  // the turns left
                 [](const auto&) { return uint16_t(0); }},
      insn);
}
bool has_effect(const Instruction& insn) {
  return std::holds_alternative<Store>(insn) || std::holds_alternative<Atomic>(insn) ||
         std::holds_alternative<CallHelper>(insn) || std::holds_alternative<CallLocal>(insn) ||
         std::holds_alternative<CallRegister>(insn);
}

struct Builder {
  const Program& program;
  Cfg cfg;
  std::vector<uint8_t> state;  // 0 new, 1 on the path, 2 done
  std::vector<uint32_t> post;
  std::vector<std::vector<uint32_t>> predecessors{};  // of blocks

  void visit(uint32_t start) {
    std::vector<std::pair<uint32_t, size_t>> path{{start, 0}};
    state[start] = 1;
    while (!path.empty()) {
      auto& [block, next] = path.back();
      BasicBlock& b = cfg.blocks[block];
      if (next == b.successors.size()) {
        b.longest += b.end - b.first;
        state[block] = 2;
        post.push_back(block);
        const uint32_t done = block;
        path.pop_back();
        if (!path.empty()) {
          BasicBlock& parent = cfg.blocks[path.back().first];
          parent.longest = std::max(parent.longest, cfg.blocks[done].longest);
        }
        continue;
      }
      const uint32_t to = b.successors[next++];
      if (state[to] == 0) {
        state[to] = 1;
        path.push_back({to, 0});
      } else if (state[to] == 1) {
        cfg.blocks[to].loop_header = true;
      } else {
        b.longest = std::max(b.longest, cfg.blocks[to].longest);
      }
    }
  }

  std::vector<bool> reachable(uint32_t from, bool backwards) const {
    std::vector<bool> seen(cfg.blocks.size());
    std::vector<uint32_t> work{from};
    seen[from] = true;
    while (!work.empty()) {
      const uint32_t at = work.back();
      work.pop_back();
      for (uint32_t to : backwards ? predecessors[at] : cfg.blocks[at].successors) {
        if (!seen[to]) seen[to] = true, work.push_back(to);
      }
    }
    return seen;
  }

  void describe_loop(uint32_t header) {
    const auto forward = reachable(header, false), backward = reachable(header, true);
    BasicBlock& h = cfg.blocks[header];
    // The body: what reaches a retreating edge to the header without passing it.
    h.loop_body.assign(cfg.blocks.size(), false);
    h.loop_body[header] = true;
    std::vector<uint32_t> work;
    const auto add = [&](uint32_t block) {
      if (state[block] != 0 && !h.loop_body[block]) h.loop_body[block] = true, work.push_back(block);
    };
    for (uint32_t from : predecessors[header]) {
      if (cfg.blocks[from].order >= h.order) add(from);
    }
    while (!work.empty()) {
      const uint32_t at = work.back();
      work.pop_back();
      for (uint32_t from : predecessors[at]) add(from);
    }
    for (uint32_t i = 0; i < cfg.blocks.size(); i++) {
      if (!forward[i] || !backward[i]) continue;
      for (Slot slot = cfg.blocks[i].first; slot < cfg.blocks[i].end; slot++) {
        h.loop_writes |= writes(program.insns[slot]);
        h.loop_effects |= has_effect(program.insns[slot]);
      }
    }
  }
};

}  // namespace

Cfg build_cfg(const Program& program) {
  Builder b{program, {}, {}, {}};
  const size_t slots = program.insns.size();
  std::vector<bool> leader(slots + 1);
  for (const Subprogram& sub : program.subprograms) leader[sub.first] = true;
  for (Slot slot = 0; slot < slots; slot++) {
    if (int64_t to = target_of(program.insns[slot]); to >= 0) leader[size_t(to)] = true;
    if (is_end(program.insns[slot])) leader[slot + 1] = true;
  }
  b.cfg.block_at.assign(slots + 1, ~uint32_t{0});
  for (Slot slot = 0; slot < slots; slot++) {
    if (leader[slot]) b.cfg.blocks.push_back({.first = slot, .end = slot, .successors = {}});
    b.cfg.block_at[slot] = leader[slot] ? uint32_t(b.cfg.blocks.size() - 1) : ~uint32_t{0};
    CHECK(!b.cfg.blocks.empty());
    b.cfg.blocks.back().end = slot + 1;
  }
  for (BasicBlock& block : b.cfg.blocks) {
    const Instruction& last = program.insns[block.end - 1];
    if (falls_through(last) && block.end < slots) block.successors.push_back(b.cfg.block_at[block.end]);
    if (int64_t to = target_of(last); to >= 0) block.successors.push_back(b.cfg.block_at[size_t(to)]);
  }
  b.predecessors.resize(b.cfg.blocks.size());
  for (uint32_t i = 0; i < b.cfg.blocks.size(); i++) {
    for (uint32_t to : b.cfg.blocks[i].successors) b.predecessors[to].push_back(i);
  }
  b.state.assign(b.cfg.blocks.size(), 0);
  for (const Subprogram& sub : program.subprograms) {
    if (b.state[b.cfg.block_at[sub.first]] == 0) b.visit(b.cfg.block_at[sub.first]);
  }
  for (size_t i = 0; i < b.post.size(); i++) b.cfg.blocks[b.post[i]].order = uint32_t(b.post.size() - i);
  for (uint32_t i = 0; i < b.cfg.blocks.size(); i++) {
    if (b.state[i] == 0) continue;  // dead code
    const auto seen = b.reachable(i, false);
    for (uint32_t k = 0; k < seen.size(); k++) {
      if (seen[k]) b.cfg.blocks[i].tail_insns += b.cfg.blocks[k].end - b.cfg.blocks[k].first;
    }
    if (b.cfg.blocks[i].loop_header) b.describe_loop(i);
  }
  return std::move(b.cfg);
}

}  // namespace xnic::compile::opt
