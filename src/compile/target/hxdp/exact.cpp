// SPDX-License-Identifier: Apache-2.0
// For a number of rows R every unit has a first and a last row. Rows are filled one after the other, the most urgent
// units first. What cannot do worse than another filling is enough: a row takes as many units as it can (moving a unit
// up never hurts, as no result takes longer than a row). Of what has been issued at the start of a row nothing but the
// set matters, so a set that failed once is not tried again in this row or a later one. A filling is given up when some
// deadline d has more unissued units before it than the rows up to d hold.
#include "compile/target/hxdp/exact.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "base/check.hpp"

namespace xnic::compile::target::hxdp {
namespace {

using Set = std::vector<uint64_t>;
struct HashSet {
  size_t operator()(const Set& set) const {
    uint64_t h = 0xcbf29ce484222325;
    for (uint64_t word : set) h = (h ^ word) * 0x9e3779b97f4a7c15, h ^= h >> 29;
    return h;
  }
};

class Search {
 public:
  Search(const ExactProblem& problem, uint32_t rows, uint64_t max_nodes)
      : problem_(problem), rows_(int(rows)), nodes_left_(max_nodes), row_(problem.units.size(), -1) {
    const size_t count = problem.units.size();
    first_.assign(count, 0);
    last_.assign(count, rows_ - 1);
    for (uint32_t i = 0; i < count; i++) {
      for (const auto& link : problem.units[i].before) {
        CHECK(link.unit < i && (link.rows == 0 || link.rows == 1));
        first_[i] = std::max(first_[i], first_[link.unit] + link.rows);
      }
    }
    for (uint32_t i = uint32_t(count); i-- > 0;) {
      for (const auto& link : problem.units[i].before)
        last_[link.unit] = std::min(last_[link.unit], last_[i] - link.rows);
    }
    // By urgency; a unit that another waits for within a row is never less urgent, and stands before it.
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0u);
    std::stable_sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) { return last_[a] < last_[b]; });
    issued_.assign((count + 63) / 64, 0);
  }

  // No interval of rows has more units bound to it than it holds.
  bool plausible() const {
    for (size_t i = 0; i < row_.size(); i++) {
      if (first_[i] > last_[i]) return false;
    }
    for (int from = 0; from < rows_; from++) {
      std::vector<uint32_t> units(size_t(rows_), 0), calls(size_t(rows_), 0);
      for (size_t i = 0; i < row_.size(); i++) {
        if (first_[i] < from) continue;
        units[size_t(last_[i])] += problem_.units[i].lane;
        calls[size_t(last_[i])] += problem_.units[i].call;
      }
      uint32_t all = 0, called = 0;
      for (int to = from; to < rows_; to++) {
        all += units[size_t(to)], called += calls[size_t(to)];
        if (all > problem_.lanes * uint32_t(to - from + 1) || called > uint32_t(to - from + 1)) return false;
      }
    }
    return true;
  }

  bool run() { return fill_rows(0); }
  bool gave_up() const { return nodes_left_ == 0; }
  std::vector<uint32_t> rows() const { return {row_.begin(), row_.end()}; }

 private:
  bool fill_rows(int row) {
    if (issued_count_ == row_.size()) return true;
    if (row == rows_ || !fits(row)) return false;
    if (const auto before = failed_.find(issued_); before != failed_.end() && before->second <= row) return false;
    if (choose(row, 0, 0, false, false)) return true;
    if (!gave_up()) failed_[issued_] = row;
    return false;
  }
  bool fits(int row) const {
    uint32_t before_deadline = 0, calls = 0;
    int deadline = row;
    for (uint32_t unit : order_) {
      if (row_[unit] >= 0) continue;
      deadline = last_[unit];
      if (deadline < row) return false;
      calls += problem_.units[unit].call;
      before_deadline += problem_.units[unit].lane;
      const auto room = uint32_t(deadline - row + 1);
      if (before_deadline > problem_.lanes * room || calls > room) return false;
    }
    return true;
  }
  bool ready(uint32_t unit, int row) const {
    return std::all_of(problem_.units[unit].before.begin(), problem_.units[unit].before.end(),
                       [&](const auto& link) { return row_[link.unit] >= 0 && row_[link.unit] + link.rows <= row; });
  }
  bool allowed(uint32_t unit, uint32_t used, bool called, bool branched) const {
    const auto& u = problem_.units[unit];
    return !(used == problem_.lanes && u.lane) && !(called && u.call) &&
           !(branched && u.branch && !problem_.parallel_branches);
  }

  // Completes the row from position `at` of the order on; `used` lanes are taken.
  bool choose(int row, size_t at, uint32_t used, bool called, bool branched) {
    for (; at < order_.size(); at++) {
      const uint32_t unit = order_[at];
      if (row_[unit] >= 0 || !allowed(unit, used, called, branched) || !ready(unit, row)) continue;
      const auto& u = problem_.units[unit];
      set(unit, row);
      if (choose(row, at + 1, used + u.lane, called || u.call, branched || u.branch)) return true;
      unset(unit);
      if (gave_up()) return false;
      if (last_[unit] == row) return false;  // it had to be here
    }
    if (nodes_left_ == 0 || --nodes_left_ == 0) return false;
    // Something that was passed over would still have room?
    for (uint32_t unit : order_) {
      if (row_[unit] < 0 && allowed(unit, used, called, branched) && ready(unit, row)) return false;
    }
    return fill_rows(row + 1);
  }
  void set(uint32_t unit, int row) {
    row_[unit] = row;
    issued_[unit / 64] |= uint64_t{1} << (unit % 64);
    issued_count_++;
  }
  void unset(uint32_t unit) {
    row_[unit] = -1;
    issued_[unit / 64] &= ~(uint64_t{1} << (unit % 64));
    issued_count_--;
  }

  const ExactProblem& problem_;
  int rows_;
  uint64_t nodes_left_;
  std::vector<int> row_, first_, last_;
  std::vector<uint32_t> order_;
  Set issued_;
  size_t issued_count_ = 0;
  std::unordered_map<Set, int, HashSet> failed_;  // what was issued before a row from which nothing led to the end
};

}  // namespace

ExactResult fewest_rows(const ExactProblem& problem, uint32_t known, uint64_t max_nodes) {
  ExactResult result;
  bool proved = true;  // for all numbers so far
  for (uint32_t rows = 1; rows < known; rows++) {
    Search search(problem, rows, max_nodes);
    const bool found = search.plausible() && search.run();
    if (found) {
      result.rows = search.rows();
      if (proved) result.bound = rows;
      return result;
    }
    proved = proved && !search.gave_up();
    if (proved) result.bound = rows + 1;
  }
  if (proved) result.bound = known;
  return result;
}

}  // namespace xnic::compile::target::hxdp
