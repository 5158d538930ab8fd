// SPDX-License-Identifier: Apache-2.0
// The reduced graph: the trace is followed with values made of bytes, and operations enter the graph when something
// that can be seen outside needs them.
//
// A byte of a value is a constant, a byte of memory as the program found it (a cell), or a byte of a result. So moves,
// shifts by whole bytes, masks of whole bytes and or of what does not overlap are no operations as long as the bytes
// end up as a run in memory order. Where they do not, the instruction that made the value enters the graph after all.
// Stored bytes wait until the end, or until a call reads them; those overwritten meanwhile never enter the graph.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/helpers.hpp"
#include "path_bound.hpp"

namespace xnic::bench {
namespace {

namespace ebpf = arch::ebpf;
using base::ErrorKind;
using base::make_error;
using base::Result;
using ebpf::BinaryOp;
using ebpf::Width;

constexpr uint32_t kNone = ~uint32_t{0};
constexpr size_t kWord = 8;

struct Byte {
  enum class Kind : uint8_t { kConstant, kCell, kResult };
  Kind kind = Kind::kConstant;
  uint8_t at = 0;   // the constant; the result's byte
  uint32_t of = 0;  // cell; expression
  bool operator==(const Byte&) const = default;
  bool is(uint8_t constant) const { return kind == Kind::kConstant && at == constant; }
};

enum class Tag : uint8_t { kNumber, kContext, kPacketEnd, kStack, kPointer };

struct Value {
  std::array<Byte, kWord> bytes{};
  Tag tag = Tag::kNumber;
  uint32_t made_by = kNone;  // expression that gives this value when its bytes are no run
};

// What an instruction makes: an operation on operands, or something with a node already (calls), or free.
struct Expression {
  std::vector<Value> operands;
  uint8_t bytes = kWord;  // higher ones are zero
  Tag tag = Tag::kNumber;
  uint32_t slot = 0;
  bool pending = false;  // an operation that has no node yet
  int64_t node = -1;     // -1 and not pending: there from the start
};

struct Cell {
  uint64_t address;
  uint32_t base;       // expression of the address, kNone: known from the start
  int64_t after = -1;  // call that wrote it
};

struct Dirty {
  int64_t branch;  // last branch before the store
  uint32_t base;
  uint32_t slot;
};

class Reducer {
 public:
  Reducer(const exec::LoadedProgram& program, std::span<const TraceStep> trace) : program_(program), trace_(trace) {}

  Result<PathGraph> run() {
    if (trace_.empty()) return make_error(ErrorKind::kBadInput, program_.program->name, "an empty trace");
    registers_[1] = fresh(Tag::kContext);
    registers_[10] = fresh(Tag::kStack);
    packet_ = fresh(Tag::kPointer);
    packet_end_ = fresh(Tag::kPacketEnd);
    for (at_ = 0; at_ < trace_.size(); ++at_) {
      XNIC_TRY(std::visit([this](const auto& insn) { return add(insn); }, program_.program->insns[slot()]));
    }
    return std::move(graph_);
  }

 private:
  // --- the trace ---
  uint32_t slot() const { return trace_[at_].slot; }
  uint64_t before(ebpf::Reg reg) const { return trace_[at_].registers[static_cast<size_t>(index(reg))]; }
  uint64_t after(ebpf::Reg reg) const { return trace_[at_ + 1].registers[static_cast<size_t>(index(reg))]; }
  Value& value(ebpf::Reg reg) { return registers_[static_cast<size_t>(index(reg))]; }
  Value operand(const ebpf::Operand& operand) {
    if (const auto* reg = std::get_if<ebpf::Reg>(&operand)) return value(*reg);
    return constant(static_cast<uint64_t>(int64_t{std::get<ebpf::Imm>(operand)}));
  }

  // --- values ---
  static Value constant(uint64_t number) {
    Value v;
    for (size_t i = 0; i < kWord; ++i) v.bytes[i].at = static_cast<uint8_t>(number >> 8 * i);
    return v;
  }
  static bool is_constant(const Value& v) {
    return std::ranges::all_of(v.bytes, [](const Byte& b) { return b.kind == Byte::Kind::kConstant; });
  }
  static uint64_t number(const Value& v) {
    uint64_t n = 0;
    for (size_t i = 0; i < kWord; ++i) n |= uint64_t{v.bytes[i].at} << 8 * i;
    return n;
  }
  uint32_t add_expression(Expression expression) {
    expressions_.push_back(std::move(expression));
    return static_cast<uint32_t>(expressions_.size() - 1);
  }
  Value result_of(uint32_t expression) const {
    const Expression& e = expressions_[expression];
    Value v;
    for (uint8_t i = 0; i < e.bytes; ++i) v.bytes[i] = {Byte::Kind::kResult, i, expression};
    v.tag = e.tag;
    return v;
  }
  Value fresh(Tag tag, int64_t node = -1, uint8_t bytes = kWord) {
    Expression e;
    e.tag = tag, e.node = node, e.bytes = bytes;
    return result_of(add_expression(std::move(e)));
  }
  uint32_t operation(std::vector<Value> operands, uint8_t bytes = kWord, Tag tag = Tag::kNumber) {
    Expression e;
    e.operands = std::move(operands), e.bytes = bytes, e.tag = tag, e.slot = slot(), e.pending = true;
    return add_expression(std::move(e));
  }
  // The expression of a pointer, whatever was added to it; kNone for constants (maps).
  static uint32_t base_of(const Value& v) { return v.bytes[0].kind == Byte::Kind::kResult ? v.bytes[0].of : kNone; }
  static bool is_pointer(const Value& v) { return v.tag != Tag::kNumber; }

  // --- the graph ---
  uint32_t emit(PathNode node) {
    std::ranges::sort(node.after);
    node.after.erase(std::unique(node.after.begin(), node.after.end()), node.after.end());
    graph_.push_back(std::move(node));
    return static_cast<uint32_t>(graph_.size() - 1);
  }
  static void depend(std::vector<uint32_t>& list, int64_t node) {
    if (node >= 0) list.push_back(static_cast<uint32_t>(node));
  }
  int64_t node_of_expression(uint32_t at) {
    if (at == kNone) return -1;
    if (!expressions_[at].pending) return expressions_[at].node;
    expressions_[at].pending = false;
    PathNode node;
    node.slot = expressions_[at].slot;
    const std::vector<Value> operands = expressions_[at].operands;
    for (const Value& operand : operands) depend(node.after, node_of(operand));
    return expressions_[at].node = emit(std::move(node));
  }
  int64_t small_operation(uint32_t key, uint32_t of, std::vector<int64_t> operands) {
    const auto [found, is_new] = small_.try_emplace({key, of}, -1);
    if (!is_new) return found->second;
    PathNode node;
    node.slot = slot();
    for (int64_t operand : operands) depend(node.after, operand);
    return small_[{key, of}] = emit(std::move(node));
  }

  // Length of the run that begins at bytes[from]: step 1 or -1 in memory or in a result.
  static size_t run_length(std::span<const Byte> bytes, size_t from, const std::vector<Cell>& cells, int step) {
    size_t length = 1;
    for (; from + length < bytes.size(); ++length) {
      const Byte &a = bytes[from + length - 1], &b = bytes[from + length];
      if (a.kind != b.kind || a.kind == Byte::Kind::kConstant) break;
      if (a.kind == Byte::Kind::kResult && (a.of != b.of || b.at != a.at + step)) break;
      if (a.kind == Byte::Kind::kCell) {
        const Cell &x = cells[a.of], &y = cells[b.of];
        if (y.address != x.address + static_cast<uint64_t>(int64_t{step}) || x.after != y.after) break;
      }
    }
    return length;
  }
  int64_t load(std::span<const Byte> bytes) {
    const auto [found, is_new] = loads_.try_emplace({bytes[0].of, bytes.size()}, -1);
    if (!is_new) return found->second;
    PathNode node;
    node.slot = slot();
    for (const Byte& byte : bytes) {
      depend(node.after, node_of_expression(cells_[byte.of].base));
      depend(node.after, cells_[byte.of].after);
    }
    return loads_[{bytes[0].of, bytes.size()}] = emit(std::move(node));
  }
  // A run that stands alone: a load, or a result whose lower bytes are wanted.
  int64_t node_of_run(std::span<const Byte> run) {
    if (run[0].kind == Byte::Kind::kCell) return load(run);
    const int64_t node = node_of_expression(run[0].of);
    const size_t natural = expressions_[run[0].of].bytes;
    if (run[0].at == 0 && (run.size() == natural || run.size() == 4)) return node;
    return small_operation(static_cast<uint32_t>(run[0].at * 16 + run.size()), run[0].of, {node});
  }
  // The node that has the value; -1: there from the start.
  int64_t node_of(const Value& v) {
    size_t length = kWord;
    while (length > 0 && v.bytes[length - 1].is(0)) --length;
    const std::span<const Byte> bytes(v.bytes.data(), length);
    if (std::ranges::all_of(bytes, [](const Byte& b) { return b.kind == Byte::Kind::kConstant; })) return -1;
    if (is_pointer(v)) return node_of_expression(base_of(v));
    if (run_length(bytes, 0, cells_, 1) == length) return node_of_run(bytes);
    if (bytes[0].kind == Byte::Kind::kCell && run_length(bytes, 0, cells_, -1) == length) {
      std::vector<Byte> ascending(bytes.rbegin(), bytes.rend());
      return small_operation(kSwapKey + static_cast<uint32_t>(length), bytes[0].of, {load(ascending)});
    }
    if (v.made_by != kNone) return node_of_expression(v.made_by);
    // Read back from pieces that were stored one by one: each piece is shifted to its place and added.
    int64_t whole = -1;
    for (size_t from = 0; from < length;) {
      const size_t run = run_length(bytes, from, cells_, 1);
      if (bytes[from].kind != Byte::Kind::kConstant) {
        PathNode node;
        node.slot = slot();
        depend(node.after, node_of_run(bytes.subspan(from, run)));
        depend(node.after, whole);
        whole = from == 0 ? node_of_run(bytes.subspan(from, run)) : int64_t{emit(std::move(node))};
      }
      from += run;
    }
    return whole;
  }

  // --- arithmetic ---
  // Bytes of a and b put together when nowhere both have something.
  static bool merge(const Value& a, const Value& b, Value& out) {
    for (size_t i = 0; i < kWord; ++i) {
      if (!a.bytes[i].is(0) && !b.bytes[i].is(0)) return false;
      out.bytes[i] = a.bytes[i].is(0) ? b.bytes[i] : a.bytes[i];
    }
    return true;
  }
  static bool mask(const Value& a, uint64_t bits, Value& out) {
    for (size_t i = 0; i < kWord; ++i) {
      const auto byte = static_cast<uint8_t>(bits >> 8 * i);
      if (byte != 0 && byte != 0xff) return false;
      out.bytes[i] = byte == 0 ? Byte{} : a.bytes[i];
    }
    return true;
  }
  static bool shift(const Value& a, uint64_t by, bool left, Value& out) {
    if (by % 8 != 0) return false;
    for (size_t i = 0; i < kWord; ++i) {
      const size_t from = left ? i - by / 8 : i + by / 8;
      out.bytes[i] = from < kWord ? a.bytes[from] : Byte{};
    }
    return true;
  }
  static Value low_half(Value v) {
    for (size_t i = 4; i < kWord; ++i) v.bytes[i] = {};
    v.tag = Tag::kNumber;
    return v;
  }
  // Whole-byte work, free.
  static bool bytewise(BinaryOp op, const Value& a, const Value& b, Value& out) {
    if (is_pointer(a) || is_pointer(b)) return false;
    if (op == BinaryOp::kOr || op == BinaryOp::kXor || op == BinaryOp::kAdd) {
      if (merge(a, b, out)) return true;
      return false;
    }
    if (!is_constant(b)) return false;
    const uint64_t n = number(b);
    if (op == BinaryOp::kAnd) return mask(a, n, out);
    if (op == BinaryOp::kLsh || op == BinaryOp::kRsh) return shift(a, n & 63, op == BinaryOp::kLsh, out);
    if ((op == BinaryOp::kSub && n == 0) || (op == BinaryOp::kMul && n == 1)) return out = a, true;
    return false;
  }
  static uint8_t bytes_of(BinaryOp op, Width width, const Value& b) {
    const uint8_t most = width == Width::k32 ? 4 : kWord;
    if (!is_constant(b)) return most;
    const uint64_t n = number(b);
    uint8_t needed = most;
    if (op == BinaryOp::kAnd && n >> 63 == 0)
      needed = static_cast<uint8_t>((64 - static_cast<unsigned>(__builtin_clzll(n | 1)) + 7) / 8);
    if (op == BinaryOp::kRsh) needed = static_cast<uint8_t>((8u * most - (n & (8u * most - 1)) + 7) / 8);
    return std::min(most, needed);
  }
  static Tag tag_of(BinaryOp op, const Value& a, const Value& b) {
    const bool moves = op == BinaryOp::kAdd || op == BinaryOp::kSub;
    if (moves && is_pointer(a) && !is_pointer(b)) return a.tag;
    if (op == BinaryOp::kAdd && is_pointer(b)) return b.tag;
    return Tag::kNumber;
  }

  Result<void> add(const ebpf::Binary& o) {
    Value b = operand(o.src);
    Value a = value(o.dst);
    const bool half = o.width == Width::k32;
    if (half) a = low_half(a), b = low_half(b);
    if (o.op == BinaryOp::kMov) return value(o.dst) = b, Result<void>{};
    if (is_constant(a) && is_constant(b)) return value(o.dst) = constant(after(o.dst)), Result<void>{};
    const Tag tag = tag_of(o.op, a, b);
    if (tag != Tag::kNumber && is_constant(b)) return {};
    if (tag != Tag::kNumber && is_constant(a)) return value(o.dst) = b, Result<void>{};
    Value out;
    const uint32_t made_by = operation({a, b}, bytes_of(o.op, o.width, b), tag);
    if (bytewise(o.op, a, b, out)) {
      if (half) out = low_half(out);
      out.made_by = made_by;
    } else {
      out = result_of(made_by);
    }
    return value(o.dst) = out, Result<void>{};
  }
  // One operation on one register.
  Result<void> unary(ebpf::Reg dst, const Value& from, uint8_t bytes) {
    value(dst) = is_constant(from) ? constant(after(dst)) : result_of(operation({from}, bytes));
    return {};
  }
  Result<void> add(const ebpf::MovSx& o) { return unary(o.dst, value(o.src), o.width == Width::k32 ? 4 : kWord); }
  Result<void> add(const ebpf::Neg& o) { return unary(o.dst, value(o.dst), o.width == Width::k32 ? 4 : kWord); }
  Result<void> add(const ebpf::Swap& o) {
    Value from;
    mask(value(o.dst), o.bits == 64 ? ~uint64_t{0} : (uint64_t{1} << o.bits) - 1, from);
    from.made_by = value(o.dst).made_by;
    if (o.kind == ebpf::SwapKind::kToLe) return value(o.dst) = from, Result<void>{};
    return unary(o.dst, from, o.bits / 8);
  }
  Result<void> add(const ebpf::LoadImm64& o) { return value(o.dst) = constant(o.value), Result<void>{}; }
  Result<void> add(const ebpf::LoadMap& o) { return value(o.dst) = constant(after(o.dst)), Result<void>{}; }
  Result<void> add(const ebpf::LoadMapValue& o) { return value(o.dst) = fresh(Tag::kPointer), Result<void>{}; }
  Result<void> add(const ebpf::WideTail&) { return {}; }

  // --- memory ---
  Byte read_byte(uint64_t address, const Value& pointer) {
    const auto found = content_.find(address);
    if (found != content_.end()) return found->second;
    if (pointer.tag == Tag::kStack) return content_[address] = Byte{};
    cells_.push_back({address, base_of(pointer)});
    const Byte cell{Byte::Kind::kCell, 0, static_cast<uint32_t>(cells_.size() - 1)};
    in_memory_[address] = cell;
    return content_[address] = cell;
  }
  Value context_field(uint32_t offset) {
    switch (offset) {
      case ebpf::kCtxData:
        return packet_;
      case ebpf::kCtxDataEnd:
        return packet_end_;
      case ebpf::kCtxDataMeta:
        return fresh(Tag::kPointer, expressions_[base_of(packet_)].node);
      default:
        return fresh(Tag::kNumber, -1, 4);
    }
  }
  Result<void> add(const ebpf::Load& o) {
    const uint64_t address = before(o.src) + static_cast<uint64_t>(int64_t{o.offset});
    const Value pointer = value(o.src);
    if (pointer.tag == Tag::kContext) {
      return value(o.dst) = context_field(static_cast<uint32_t>(o.offset)), Result<void>{};
    }
    Value v;
    for (size_t i = 0; i < bytes(o.size); ++i) v.bytes[i] = read_byte(address + i, pointer);
    // A pointer that was put aside and comes back.
    if (bytes(o.size) == kWord && v.bytes[0].kind == Byte::Kind::kResult && run_length(v.bytes, 0, cells_, 1) == kWord)
      v.tag = expressions_[v.bytes[0].of].tag;
    if (o.sign_extend && !is_constant(v)) v = result_of(operation({v}));
    if (o.sign_extend && is_constant(v)) v = constant(after(o.dst));
    return value(o.dst) = v, Result<void>{};
  }
  void write_byte(uint64_t address, const Byte& byte, const Value& pointer) {
    if (!in_memory_.contains(address) && pointer.tag == Tag::kStack) in_memory_[address] = Byte{};
    content_[address] = byte;
    const auto there = in_memory_.find(address);
    const bool shown = byte.kind != Byte::Kind::kResult || expressions_[byte.of].tag == Tag::kNumber;
    if (there != in_memory_.end() && there->second == byte && shown) {
      dirty_.erase(address);
    } else {
      dirty_[address] = {last_branch_, base_of(pointer), slot()};
    }
    if (pointer.tag == Tag::kStack) stack_.insert(address);
  }
  Result<void> add(const ebpf::Store& o) {
    const uint64_t address = before(o.dst) + static_cast<uint64_t>(int64_t{o.offset});
    const Value v = operand(o.src);
    for (size_t i = 0; i < bytes(o.size); ++i) write_byte(address + i, v.bytes[i], value(o.dst));
    return {};
  }
  Result<void> add(const ebpf::Atomic& o) {
    const uint64_t address = before(o.dst) + static_cast<uint64_t>(int64_t{o.offset});
    PathNode node;
    node.slot = slot();
    depend(node.not_before, last_branch_);
    depend(node.after, node_of(value(o.dst)));
    depend(node.after, node_of(value(o.src)));
    if (o.op == ebpf::AtomicOp::kCmpxchg) depend(node.after, node_of(value(ebpf::Reg::kR0)));
    for (uint32_t store : flush(address, bytes(o.size))) node.after.push_back(store);
    for (size_t i = 0; i < bytes(o.size); ++i) {
      const Byte old = read_byte(address + i, value(o.dst));
      if (old.kind == Byte::Kind::kCell) depend(node.after, cells_[old.of].after);
    }
    const uint32_t made = emit(std::move(node));
    written_by_call(address, bytes(o.size), made);
    if (o.fetch)
      value(o.op == ebpf::AtomicOp::kCmpxchg ? ebpf::Reg::kR0 : o.src) =
          fresh(Tag::kNumber, made, static_cast<uint8_t>(bytes(o.size)));
    return {};
  }
  Result<void> add(const ebpf::LoadPacket& o) {
    std::vector<Value> operands;
    if (o.indirect) operands.push_back(value(o.src));
    value(ebpf::Reg::kR0) = result_of(operation(std::move(operands), static_cast<uint8_t>(bytes(o.size))));
    return {};
  }

  // Bytes [from, end) of the sorted dirty addresses become stores; those of one run share one.
  uint32_t emit_store(std::span<const uint64_t> addresses) {
    PathNode node;
    Value v;
    for (size_t i = 0; i < addresses.size(); ++i) {
      v.bytes[i] = content_[addresses[i]];
      const Dirty& dirty = dirty_[addresses[i]];
      depend(node.not_before, dirty.branch);
      depend(node.after, node_of_expression(dirty.base));
      node.slot = dirty.slot;
      in_memory_[addresses[i]] = v.bytes[i];
    }
    for (uint64_t address : addresses) dirty_.erase(address);
    // A store takes the low bytes of a result as they are.
    const Byte& low = v.bytes[0];
    depend(node.after, low.kind == Byte::Kind::kResult && low.at == 0 ? node_of_expression(low.of) : node_of(v));
    return emit(std::move(node));
  }
  // How many of the addresses one store can take: consecutive, a run or constants, zeros behind a run.
  size_t store_length(std::span<const uint64_t> addresses) {
    std::vector<Byte> bytes;
    for (size_t i = 0; i < addresses.size() && i < kWord && addresses[i] == addresses[0] + i; ++i)
      bytes.push_back(content_[addresses[i]]);
    size_t length = 0;
    if (bytes[0].kind == Byte::Kind::kConstant) {
      while (length < bytes.size() && bytes[length].kind == Byte::Kind::kConstant) ++length;
    } else {
      length = run_length(bytes, 0, cells_, 1);
      while (length < bytes.size() && bytes[length].is(0)) ++length;
    }
    return length >= 8 ? 8 : length >= 6 ? 6 : length >= 4 ? 4 : length >= 2 ? 2 : 1;
  }
  std::vector<uint32_t> flush_addresses(const std::vector<uint64_t>& addresses) {
    std::vector<uint32_t> stores;
    std::span<const uint64_t> rest(addresses);
    while (!rest.empty()) {
      const size_t length = store_length(rest);
      stores.push_back(emit_store(rest.first(length)));
      rest = rest.subspan(length);
    }
    return stores;
  }
  std::vector<uint32_t> flush(uint64_t address, uint64_t bytes) {
    std::vector<uint64_t> addresses;
    for (auto at = dirty_.lower_bound(address); at != dirty_.end() && at->first < address + bytes; ++at)
      addresses.push_back(at->first);
    return flush_addresses(addresses);
  }
  void written_by_call(uint64_t address, uint64_t bytes, uint32_t node) {
    for (uint64_t i = 0; i < bytes; ++i) {
      dirty_.erase(address + i);
      cells_.push_back({address + i, kNone, node});
      content_[address + i] =
          in_memory_[address + i] = {Byte::Kind::kCell, 0, static_cast<uint32_t>(cells_.size() - 1)};
    }
  }

  // --- control ---
  Result<void> add(const ebpf::Jump& o) {
    const Value a = value(o.dst), b = operand(o.src);
    if (a.tag == Tag::kPacketEnd || b.tag == Tag::kPacketEnd) return {};
    const int64_t left = node_of(o.width == Width::k32 && !is_pointer(a) ? low_half(a) : a);
    const int64_t right = node_of(o.width == Width::k32 && !is_pointer(b) ? low_half(b) : b);
    if (is_constant(a) && is_constant(b)) return {};
    PathNode node;
    node.slot = slot();
    node.branch = true;
    depend(node.after, left);
    depend(node.after, right);
    depend(node.not_before, last_branch_);
    last_branch_ = emit(std::move(node));
    return {};
  }
  Result<void> add(const ebpf::Goto&) { return {}; }
  Result<void> add(const ebpf::MayGoto&) { return {}; }

  Result<void> add(const ebpf::CallHelper& o) {
    const ebpf::HelperSignature& signature = *ebpf::find_helper(o.id);
    PathNode node;
    node.slot = slot();
    node.call = true;
    for (size_t i = 0; i < 5 && signature.args[i] != ebpf::ArgType::kNone; ++i)
      depend(node.after, node_of(registers_[i + 1]));
    const auto regions = call_regions(program_, o.id, trace_[at_]);
    for (const CallRegion& region : regions) {
      for (uint32_t store : flush(region.address, region.bytes)) node.after.push_back(store);
    }
    if (!may_speculate(o.id)) {
      depend(node.not_before, last_branch_);
      depend(node.after, last_call_);
    }
    const uint32_t made = emit(std::move(node));
    if (!may_speculate(o.id)) last_call_ = made;
    for (const CallRegion& region : regions) {
      if (region.written) written_by_call(region.address, region.bytes, made);
    }
    if (signature.changes_packet) {
      packet_ = fresh(Tag::kPointer, made);
      packet_end_ = fresh(Tag::kPacketEnd, made);
    }
    using ebpf::RetType;
    const bool pointer = signature.ret == RetType::kMapValueOrNull || signature.ret == RetType::kMemoryOrNull;
    value(ebpf::Reg::kR0) = fresh(pointer ? Tag::kPointer : Tag::kNumber, made);
    return {};
  }
  Result<void> add(const ebpf::CallLocal&) {
    frames_.push_back(registers_);
    registers_[10] = fresh(Tag::kStack);
    return {};
  }
  Result<void> add(const ebpf::Exit&) {
    if (!frames_.empty()) {
      for (size_t reg = 6; reg <= 10; ++reg) registers_[reg] = frames_.back()[reg];
      frames_.pop_back();
      return {};
    }
    std::vector<uint64_t> addresses;
    for (const auto& [address, dirty] : dirty_) {
      if (!stack_.contains(address)) addresses.push_back(address);
    }
    flush_addresses(addresses);
    PathNode node;
    node.slot = slot();
    depend(node.after, node_of(value(ebpf::Reg::kR0)));
    for (uint32_t i = 0; i < graph_.size(); ++i) node.not_before.push_back(i);
    emit(std::move(node));
    return {};
  }
  template <class Other>
  Result<void> add(const Other&) {
    return make_error(ErrorKind::kUnsupported, program_.program->name, "slot {} has no place in a path", slot());
  }

  static constexpr uint32_t kSwapKey = 1u << 16;
  using Registers = std::array<Value, ebpf::kRegCount>;
  const exec::LoadedProgram& program_;
  std::span<const TraceStep> trace_;
  size_t at_ = 0;
  PathGraph graph_;
  std::vector<Expression> expressions_;
  std::vector<Cell> cells_;
  Registers registers_{};
  std::vector<Registers> frames_;
  Value packet_, packet_end_;
  std::unordered_map<uint64_t, Byte> content_;    // what the program would read
  std::unordered_map<uint64_t, Byte> in_memory_;  // without the stores that wait
  std::map<uint64_t, Dirty> dirty_;
  std::set<uint64_t> stack_;
  std::map<std::pair<uint32_t, size_t>, int64_t> loads_;
  std::map<std::pair<uint32_t, uint32_t>, int64_t> small_;
  int64_t last_branch_ = -1;
  int64_t last_call_ = -1;
};

}  // namespace

Result<PathGraph> reduced_graph(const exec::LoadedProgram& program, std::span<const TraceStep> trace) {
  return Reducer(program, trace).run();
}

}  // namespace xnic::bench
