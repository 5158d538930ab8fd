// SPDX-License-Identifier: Apache-2.0
// A region: a path of blocks that is scheduled as one, and the operations that it must issue, with their order.
#pragma once

#include <set>
#include <vector>

#include "compile/opt/ir.hpp"
#include "compile/target/hxdp/exact.hpp"
#include "compile/target/hxdp/legal.hpp"

namespace xnic::compile::target::hxdp {

using opt::BlockId;
using opt::kNone;

// Where values are when a block is entered.
struct State {
  std::vector<NodeId> held = std::vector<NodeId>(arch::hxdp::kRegisters, kNone);  // by register
  std::vector<NodeId> spilled;                                                    // in their stack slots
  bool set = false;
  int find(NodeId node) const {
    for (size_t r = 0; r < held.size(); r++) {
      if (held[r] == node) return int(r);
    }
    return -1;
  }
  bool is_spilled(NodeId node) const;
  bool has(NodeId node) const { return find(node) >= 0 || is_spilled(node); }
};

struct Item {
  enum class Kind : uint8_t { kPure, kEffect, kBranch, kEnd, kReload };
  struct Dep {
    uint32_t item;
    int rows;  // at least so many rows later; 0: the same row will do (lane order is program order)
  };
  Kind kind = Kind::kPure;
  NodeId node = kNone;          // kPure, kReload: the value; kEffect: its result or kNone
  EffectId effect = 0;          // kEffect
  BlockId block = kNone;        // kBranch, kEnd: block that ends so
  BlockId exit = kNone;         // kBranch: where it leads when taken
  bool inverted = false;        // kBranch: leaves when the condition is false
  uint32_t sequence = 0;        // pinned operations: program order, from 1
  std::vector<NodeId> needs{};  // registers
  std::vector<NodeId> wants{};  // kBranch, kEnd: what the code behind it asks for, in registers or not
  uint32_t deadline = ~0u;      // sequence of the first pinned operation that waits for this one; its own if pinned
  std::vector<Dep> deps{};
  double weight = 0;  // kBranch, kEnd: how often the region is left here, of the times it is entered
  double rank = 0;    // of what is ready, the highest issues first
  int row = -1;
  bool pinned() const { return kind != Kind::kPure && kind != Kind::kReload; }
};

// What blocks need from before them. States of entered blocks are fixed points: a way to them must bring what they
// hold.
class Demand {
 public:
  Demand(const Graph& graph, const std::vector<State>& entries) : graph_(graph), entries_(entries) {}
  // Values that the code from `block` on asks for directly.
  std::set<NodeId> direct(BlockId block) const;
  // Of those and what they are computed from: the ones to keep, given what is available. Values that are neither
  // available nor computable yet are left out.
  std::set<NodeId> frontier(const std::set<NodeId>& direct, const State& state) const;
  // Everything that `direct` is computed from, itself included; stops at what `state` has.
  std::set<NodeId> closure(const std::set<NodeId>& direct, const State& state) const;
  // What the edge at the end of `block` (kGoto) must bring: arguments of phis and the target's needs.
  std::set<NodeId> at_goto(BlockId block) const;

 private:
  void entry_values(BlockId block, std::vector<NodeId>& out) const;
  void collect(BlockId block, std::set<BlockId>& seen, std::set<NodeId>& out) const;
  const Graph& graph_;
  const std::vector<State>& entries_;
};

// Orders in which operations that are ready may issue. None is best for all regions.
enum class Priority : uint8_t {
  kHeight,  // the longest way to the region's end first
  kYield,   // longest ways to all exits, each weighted by how often it is taken ("dependence height and speculative
            // yield": Bringmann, Enhancing instruction level parallelism through compiler-controlled speculation, 1995)
  kRetire,  // what the next exit in program order waits for first
};
inline constexpr Priority kPriorities[] = {Priority::kHeight, Priority::kYield, Priority::kRetire};

struct RegionOptions {
  bool traces;
  bool call_exit;
};

// Builds the region that starts at `head`. Post: items in an order in which deps point backwards among pinned ones; the
// last pinned item is the only kEnd.
class Region {
 public:
  Region(const Graph& graph, const Demand& demand, const std::vector<State>& entries, BlockId head,
         const RegionOptions& options);
  std::vector<BlockId> path;
  std::vector<Item> items;
  // Gives every item its rank: by the priority, or by the row that each has in a schedule (in the order of exact()).
  void rank(Priority priority);
  void rank(const std::vector<uint32_t>& rows);
  // The question for the shortest schedule, registers left out of account.
  ExactProblem exact(uint32_t lanes, bool parallel_branches) const;
  // Rows up to the end. Pre: it has issued.
  uint32_t rows() const { return uint32_t(items[item_of_seq_.back()].row) + 1; }
  EffectId exit_call = 0;  // effect that the end performs as well (call and exit in one), 0: none

 private:
  void choose_path(BlockId head, bool traces);
  void pin(const RegionOptions& options);
  void add_values();
  void order_pinned(size_t at);
  void order_value(uint32_t item);

  // priority.cpp
  struct Link {
    uint32_t item;
    int rows;
  };
  void set_links();
  void set_deadlines();
  void set_weights();
  std::vector<int> heights_to(uint32_t item) const;
  std::vector<int> earliest() const;

  bool past(EffectId effect) const;
  bool computable(NodeId node, std::vector<int8_t>& memo) const;
  void force_before_clobber(const std::set<NodeId>& direct, uint32_t before, std::set<NodeId>& out);
  bool clobbers(uint32_t sequence, NodeId node) const;
  const Graph& graph_;
  const Demand& demand_;
  const std::vector<State>& entries_;
  const State& state_;
  std::vector<uint32_t> sequence_of_;  // by effect; 0: not in the region
  std::vector<uint32_t> item_of_seq_;
  std::vector<std::vector<Link>> before_;  // by item: what it waits for, operands and order
  std::vector<uint32_t> order_;            // items, each behind all that it waits for
};

}  // namespace xnic::compile::target::hxdp
