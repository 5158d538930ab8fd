// SPDX-License-Identifier: Apache-2.0
// The insides of schedule(): one region at a time, row by row. Shared by schedule.cpp (rows), registers.cpp (which
// value is where) and hand_over.cpp (ways into merges).
#pragma once

#include <map>

#include "base/check.hpp"
#include "compile/target/hxdp/region.hpp"
#include "compile/target/hxdp/schedule.hpp"

namespace xnic::compile::target::hxdp {

namespace machine = arch::hxdp;

struct Placed {  // an operation in a row under construction
  machine::Op op;
  uint32_t slot;
  uint32_t sequence;  // 0: value
  BlockId target;     // of a branch, or kNone
};

class Scheduler {
 public:
  // `reserve`: how many registers are left for the next pinned operation when operations move up.
  Scheduler(Graph& graph, const ScheduleOptions& options, uint32_t free_stack, uint32_t reserve, machine::Image& image)
      : graph_(graph),
        options_(options),
        image_(image),
        demand_(graph, entries_),
        spill_slots_(free_stack / 8),
        reserve_(reserve) {
    entries_.resize(graph.blocks.size());
    row_of_.assign(graph.blocks.size(), kNone);
  }
  base::Result<void> run();
  bool spilled() const { return !spill_slot_.empty(); }
  // Rows that a packet takes on average, by the weights of the blocks. Post: run() succeeded.
  double cost() const { return cost_; }
  const ExactStatistics& exact() const { return exact_; }

 private:
  // schedule.cpp
  struct Checkpoint;
  base::Result<void> region(BlockId head);
  base::Result<void> issue_region(Region& region);
  double region_cost(const Region& region) const;
  Checkpoint checkpoint(const Region& region) const;
  void go_back(const Checkpoint& to);
  bool issue_row(Region& region);
  enum class Readiness : uint8_t { kNow, kLater, kBlocked };  // kLater: only time has to pass
  Readiness readiness(const Region& region, const Item& item) const;
  void issue(const Item& item, const Region& region, const State& before, int dst);
  machine::Op operation(const Region& region, const Item& item, int dst);
  void snapshot();
  void flush();
  base::Unexpected out_of_registers(BlockId block) const;

  // registers.cpp
  void start_registers(const Region& region);
  void find_live(const Region& region, NodeId coming);
  bool allowed(const Item& item) const;
  int take_register(const Region& region, NodeId coming);
  const Item& focus_of(const Region& region) const;
  bool make_room(Region& region);
  NodeId victim(const Region& region, const Item& focus) const;
  bool spill(NodeId value);
  bool slot_for(NodeId node);
  bool remade(NodeId node) const;
  machine::Op fetch(NodeId node, machine::Reg dst);
  void want_reloads(Region& region);
  machine::Memory spill_memory(NodeId node) const {
    return {machine::Space::kStack, 0, 0, 8, int16_t(spill_slot_.at(node) * 8)};
  }

  // hand_over.cpp
  using Moves = std::vector<std::pair<machine::Reg, NodeId>>;
  void hand_over(BlockId from, BlockId to);
  void settle(BlockId from, BlockId to);
  void store_spilled(BlockId from, BlockId to);
  void store_value(NodeId value, const machine::Memory& slot, BlockId from, BlockId to);
  void moves(Moves list);
  std::vector<size_t> movable(const Moves& list) const;
  bool step(Moves& list);
  void wide_constants(const Moves& list);
  void swap_registers(machine::Reg a, machine::Reg b);
  int source(NodeId value) const { return graph_.is_const(value) ? -1 : state_.find(value); }
  uint32_t room() const { return lanes() > placed_.size() ? lanes() - uint32_t(placed_.size()) : 0; }
  void place(machine::Op op, uint32_t sequence) {
    placed_.push_back({std::move(op), machine::kNoSlot, sequence, kNone});
  }

  uint32_t lanes() const { return image_.parameters.lanes; }
  int rows_for(int rows) const {
    return rows == 1 && image_.parameters.forwarding == machine::Forwarding::kLane ? 2 : rows;
  }
  machine::Reg reg(NodeId node) const {
    const int r = state_.find(node);
    CHECK(r >= 0);
    return machine::Reg(r);
  }

  Graph& graph_;
  const ScheduleOptions& options_;
  machine::Image& image_;
  std::vector<State> entries_;
  Demand demand_;
  uint32_t spill_slots_;
  uint32_t reserve_;
  std::map<NodeId, uint32_t> spill_slot_;  // of every value that ever had one
  ptrdiff_t slots_given_ = 0;
  std::vector<NodeId> reserved_;  // values that a merge will have in their slots
  std::vector<uint32_t> row_of_;  // by block
  std::vector<std::pair<std::pair<machine::Row, uint32_t>, BlockId>> fixups_;  // (row, lane) of branches
  std::vector<BlockId> queue_;
  double cost_ = 0;
  ExactStatistics exact_;

  // The region being scheduled.
  State state_;
  std::vector<int> ready_row_;          // by node: first row that may read it
  std::vector<uint32_t> pending_uses_;  // by node: unissued operations that read it
  std::vector<uint8_t> marks_;          // by node, of find_live()
  std::vector<NodeId> marked_;          // nodes with a mark
  uint32_t free_registers_ = 0;         // found by find_live()
  uint32_t next_pinned_ = 0;            // lowest sequence not issued
  bool focused_ = false;                // only the focus and what it waits for may take registers
  NodeId focus_node_ = kNone;
  uint32_t focus_sequence_ = 0;
  int row_ = 0;  // rows of this region so far
  std::vector<Placed> placed_;
  bool called_ = false;
  uint32_t written_ = 0;                            // registers written in this row
  std::vector<NodeId> locked_;                      // needed by targets of this row's branches
  std::vector<std::pair<BlockId, uint32_t>> left_;  // this row's branches: exit block, sequence
  std::vector<std::pair<NodeId, uint32_t>> late_;   // results of this row's pinned operations: value, sequence
  BlockId falls_to_ = kNone;
  bool out_of_registers_ = false;
};

}  // namespace xnic::compile::target::hxdp
