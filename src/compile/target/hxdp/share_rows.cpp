// SPDX-License-Identifier: Apache-2.0
// Rows are the states of an automaton, and equal ones are found as its minimisation finds them: at first all rows with
// the same operations are one class; classes are parted until the rows of each also lead to the same classes. Of each
// class the first row is kept. Only a row that another falls into has to stay where it is, unless the one before has a
// lane for a goto and no branch that would make it cost a cycle.
#include "compile/target/hxdp/share_rows.hpp"

#include <map>

#include "arch/hxdp/codec.hpp"

namespace xnic::compile::target::hxdp {

using namespace arch::hxdp;

namespace {

struct Sharer {
  Image& image;
  std::vector<uint32_t> class_of{};
  std::vector<Row> first{};  // of each class

  bool ends(Row row) const {
    for (const Op& op : image.rows[row].lanes) {
      if (ends_row(op)) return true;
    }
    return false;
  }
  // The target of a row that does nothing but go there, or -1.
  int64_t passes_on(Row row) const {
    int64_t to = -1;
    for (const Op& op : image.rows[row].lanes) {
      if (is_nop(op)) continue;
      if (to >= 0 || !std::holds_alternative<Goto>(op)) return -1;
      to = branch_target(op);
    }
    return to;
  }
  void skip_gotos() {
    for (Bundle& bundle : image.rows) {
      for (Op& op : bundle.lanes) {
        int64_t to = branch_target(op);
        if (to < 0) continue;
        for (size_t steps = 0; steps < image.rows.size() && passes_on(Row(to)) >= 0; steps++) to = passes_on(Row(to));
        set_branch_target(op, Row(to));
      }
    }
  }
  void find_classes() {
    const size_t count = image.rows.size();
    std::map<std::vector<uint64_t>, uint32_t> classes;
    class_of.assign(count, 0);
    for (size_t before = 0;; before = classes.size()) {
      classes.clear();
      std::vector<uint32_t> next(count);
      for (Row row = 0; row < count; row++) {
        std::vector<uint64_t> key{class_of[row]};
        for (Op op : image.rows[row].lanes) {
          const int64_t to = branch_target(op);
          set_branch_target(op, 0);
          key.push_back(encode(op));
          if (to >= 0) key.push_back(class_of[size_t(to)]);
        }
        if (!ends(row)) key.push_back(class_of[row + 1]);
        next[row] = classes.emplace(std::move(key), uint32_t(classes.size())).first->second;
      }
      class_of = std::move(next);
      if (classes.size() == before) break;
    }
    first.assign(classes.size(), Row(count));
    for (Row row = count; row-- > 0;) first[class_of[row]] = row;
  }
  Row kept(Row row) const { return first[class_of[row]]; }

  // True if the row now goes to the kept copy of the next row, so that the next row itself is not needed.
  bool leave(Row row) {
    const Row to = kept(row + 1);
    if (to == row + 1 || image.parameters.forwarding != Forwarding::kFull) return false;
    uint32_t used = 0;
    for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
      const Op& op = image.rows[row].lanes[lane];
      if (branch_target(op) >= 0) return false;
      if (!is_nop(op)) used = lane + 1;
    }
    if (used == image.parameters.lanes) return false;
    image.rows[row].lanes[used] = Goto{to};
    return true;
  }
  std::vector<bool> find_needed() {
    std::vector<bool> needed(image.rows.size());
    std::vector<Row> work{0};
    needed[0] = true;
    const auto need = [&](Row row) {
      if (!needed[row]) needed[row] = true, work.push_back(row);
    };
    while (!work.empty()) {
      const Row row = work.back();
      work.pop_back();
      if (!ends(row) && !leave(row)) need(row + 1);
      for (Op& op : image.rows[row].lanes) {
        const int64_t to = branch_target(op);
        if (to < 0) continue;
        set_branch_target(op, kept(Row(to)));
        need(kept(Row(to)));
      }
    }
    return needed;
  }
};

}  // namespace

void share_rows(Image& image) {
  Sharer s{image};
  s.skip_gotos();
  s.find_classes();
  const std::vector<bool> needed = s.find_needed();
  std::vector<Row> moved(image.rows.size());
  std::vector<Bundle> rows;
  std::vector<std::array<uint32_t, kMaxLanes>> slots;
  for (Row row = 0; row < image.rows.size(); row++) {
    moved[row] = Row(rows.size());
    if (!needed[row]) continue;
    rows.push_back(image.rows[row]);
    slots.push_back(image.slots[row]);
  }
  for (Bundle& bundle : rows) {
    for (Op& op : bundle.lanes) {
      if (const int64_t to = branch_target(op); to >= 0) set_branch_target(op, moved[size_t(to)]);
    }
  }
  image.rows = std::move(rows);
  image.slots = std::move(slots);
}

}  // namespace xnic::compile::target::hxdp
