// SPDX-License-Identifier: Apache-2.0
// Statements are lines of assembly over the registers that hold numbers: r0 to r5, r8 and r9. r6 is the context, r7 the
// packet. What the card asks of an operation is made true before it: masks before products, constants as divisors,
// stores from registers.
#include "card_program.hpp"

#include <fmt/format.h>

#include "arch/ebpf/map_types.hpp"
#include "base/rng.hpp"

namespace xnic::tests {
namespace {

constexpr unsigned kStackBytes = 200;
constexpr unsigned kPacketBytes = 64;
constexpr unsigned kNumbers[] = {0, 1, 2, 3, 4, 5, 8, 9};

class Writer {
 public:
  explicit Writer(uint64_t seed) : rng_(seed) {}

  std::string program(unsigned statements) {
    line("r6 = r1\n r7 = *(u32 *)(r1 +0)\n r2 = *(u32 *)(r1 +4)\n r3 = r7");
    line("r3 += {}\n if r3 > r2 goto out", kPacketBytes);
    for (const unsigned reg : kNumbers) load_packet(reg);
    for (unsigned at = 8; at <= kStackBytes; at += 8) line("*(u64 *)(r10 -{}) = r{}", at, number());
    with_calls_ = true;
    block(statements);
    for (unsigned i = 0; i < std::size(kNumbers); ++i) line("*(u64 *)(r7 +{}) = r{}", 8 * i, kNumbers[i]);
    adjust();
    line("r0 &= 3\n exit\n out: r0 = 2\n exit");
    for (unsigned i = 0; i < functions_; ++i) function(i);
    return std::move(text_);
  }

 private:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    text_ += fmt::format(format, std::forward<Args>(args)...) + "\n";
  }
  unsigned below(unsigned limit) { return static_cast<unsigned>(rng_.below(limit)); }
  bool coin() { return below(2) == 0; }
  unsigned number() { return kNumbers[below(first_only_ ? 6 : std::size(kNumbers))]; }
  int32_t constant() {
    static constexpr int32_t kCorners[] = {0,         1,    -1,   2,          31,        32,      63,
                                           127,       128,  255,  256,        0xffff,    0x10000, INT32_MIN,
                                           INT32_MAX, -256, -128, 0x12340000, 0x00123400};
    return below(3) == 0 ? static_cast<int32_t>(rng_.next()) : kCorners[below(std::size(kCorners))];
  }
  char width() { return coin() ? 'r' : 'w'; }
  std::string operand(char width) {
    return coin() ? fmt::format("{}{}", width, number()) : fmt::format("{}", constant());
  }
  static const char* type(unsigned bytes) {
    return bytes == 1 ? "u8" : bytes == 2 ? "u16" : bytes == 4 ? "u32" : "u64";
  }
  unsigned size() { return 1u << below(4); }

  void load_packet(unsigned reg) {
    const unsigned bytes = size();
    line("r{} = *({} *)(r7 +{})", reg, type(bytes), below(kPacketBytes - bytes + 1));
  }
  void block(unsigned statements) {
    while (statements-- > 0) statement();
  }

  void statement() {
    switch (below(with_calls_ ? 15 : 11)) {
      case 0:
      case 1:
      case 2: {
        static constexpr const char* kOps[] = {"+=", "-=", "&=", "|=", "^=", "="};
        const char w = width();
        return line("{}{} {} {}", w, number(), kOps[below(6)], operand(w));
      }
      case 3:
        return shift();
      case 4:
        return product();
      case 5:
        return quotient();
      case 6: {
        static constexpr unsigned kBits[] = {16, 32, 64};
        const unsigned reg = number();
        if (coin()) return line("r{0} = be{1} r{0}", reg, kBits[below(3)]);
        return line("{0}{1} = -{0}{1}", width(), reg);
      }
      case 7:
        return branch();
      case 8:
        return in_function_ ? shift() : stack();
      case 9:
        return in_function_ ? product() : packet();
      case 10:
        return line("r{} = {} ll", number(), static_cast<int64_t>(rng_.next()));
      case 11:
        return array();
      case 12:
        return hash();
      case 13:
        return call();
      default:
        line("call 7\n r1 = r0\n r2 = 2\n r3 = 3\n r4 = 4\n r5 = r0");
    }
  }

  void shift() {
    static constexpr const char* kOps[] = {"<<=", ">>=", "s>>="};
    const char w = width();
    const unsigned reg = number();
    if (coin()) return line("{}{} {} {}", w, reg, kOps[below(3)], below(w == 'r' ? 64 : 32));
    const unsigned by = number();
    switch (below(4)) {  // what the verifier can know of the amount
      case 0:
        line("r{} &= 31", by);
        break;
      case 1:
        line("r{0} &= 31\n r{0} |= 32", by);
        break;
      case 2:
        line("r{} &= 63", by);
        break;
      default:
        break;
    }
    line("{0}{1} {2} {0}{3}", w, reg, kOps[below(3)], by);
  }

  void product() {
    const unsigned reg = number(), by = number();
    const char w = width();
    const bool narrow = coin();
    for (const unsigned operand : {reg, by}) {
      if (narrow) line("r{} &= {}", operand, 0xffff);
      line("w{0} = w{0}", operand);
    }
    if (coin()) return line("{0}{1} *= {0}{2}", w, reg, by);
    const int32_t value = constant();
    line("{}{} *= {}", w, reg, w == 'r' && value < 0 ? -(value + 1) : value);
  }

  void quotient() {
    const unsigned reg = number();
    const char w = width();
    line("w{0} = w{0}", reg);
    static constexpr uint32_t kDivisors[] = {1,  2,  3,  5,   6,    7,      10,      11,
                                             13, 14, 28, 641, 1000, 0xffff, 0x10001, 1u << 30};
    const uint32_t divisor =
        coin() ? kDivisors[below(std::size(kDivisors))] : 1 + static_cast<uint32_t>(rng_.next() >> (33 + below(31)));
    if (below(4) != 0) return line("{}{} /= {}", w, reg, divisor & INT32_MAX);
    unsigned by = number();
    while (by == reg) by = number();
    line("r{} = {} ll", by, static_cast<uint32_t>(rng_.next()) | 1u);
    line("{0}{1} /= {0}{2}", w, reg, by);
  }

  void branch() {
    static constexpr const char* kOps[] = {"==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&"};
    const char w = width();
    const unsigned label = labels_++;
    line("if {}{} {} {} goto l{}", w, number(), kOps[below(std::size(kOps))], operand(w), label);
    const bool calls = with_calls_;
    with_calls_ = false;
    block(1 + below(3));
    with_calls_ = calls;
    line("l{}:", label);
  }

  void stack() {
    const unsigned bytes = size();
    const unsigned at = bytes * (1 + below(kStackBytes / bytes));
    if (coin()) return line("*({} *)(r10 -{}) = r{}", type(bytes), at, number());
    line("r{} = *({} *)(r10 -{})", number(), type(bytes), at);
  }

  void packet() {
    const unsigned bytes = size();
    if (coin()) return load_packet(number());
    line("*({} *)(r7 +{}) = r{}", type(bytes), below(kPacketBytes - bytes + 1), number());
  }

  // Within the card's room; one call by a constant is written out shorter than others. Frames have 64 bytes here.
  void adjust() {
    const unsigned kind = below(5);
    if (kind == 0) line("r1 = r6\n r2 = {}\n call 44", static_cast<int>(below(120)) - 80);
    if (kind == 1) line("r1 = r6\n r2 = {}\n call 65", -static_cast<int>(1 + below(60)));
    if (kind == 2) line("r8 &= 15\n r8 -= 8\n r1 = r6\n r2 = r8\n call 44\n r1 = r6\n r2 = {}\n call 44", below(30));
    if (kind == 2 && coin()) line("r8 = r0\n r1 = r6\n r2 = -9\n call 65\n r0 ^= r8");
  }

  // After a call r1 to r5 hold nothing.
  void numbers_again() { line("r1 = r8\n r2 = r9\n r3 = r8\n r4 = 77\n r5 = r9"); }

  void array() {
    const unsigned label = labels_++;
    line("r3 = {}\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1", below(6));
    line("if r0 == 0 goto l{}", label);
    line("r1 = r0");
    if (coin()) line("r{} = *({} *)(r1 +8)", coin() ? 8 : 9, type(size()));
    if (coin()) line("r1 += 8\n r2 = *(u32 *)(r1 +4)\n r8 ^= r2\n r1 += -8");
    if (below(3) == 0) line("r9 &= 0xffff");
    line("lock *({} *)(r1 +{}) += r9", coin() ? "u64" : "u32", 0);
    line("r2 = 9\n lock *(u32 *)(r1 +4) += r2");
    line("l{}: r0 = r8", label);
    numbers_again();
  }

  void hash() {
    const unsigned label = labels_++, which = below(3);
    line("r3 = r9\n r3 &= 7\n *(u64 *)(r10 -16) = r3\n r2 = r10\n r2 += -16\n r1 = map[1]");
    if (which == 0) line("r3 = r10\n r3 += -{}\n r4 = {}\n call 2", 8 * (3 + below(10)), below(3));
    if (which == 1) line("call 3");
    if (which == 2) line("call 1\n if r0 == 0 goto l{0}\n r0 = *(u64 *)(r0 +8)\n l{0}:", label);
    if (which == 2) line("r0 ^= r9");
    numbers_again();
  }

  void call() {
    const unsigned label = functions_++;
    line("call f{}", label);
    numbers_again();
  }

  // Numbers come in r1 to r5; some functions use saved registers, some have a stack, some read their caller's.
  void function(unsigned index) {
    line("f{}:", index);
    in_function_ = true, with_calls_ = false;
    first_only_ = coin();
    line("r0 = r1");
    if (!first_only_) line("r8 = r2\n r9 = r3");
    if (coin()) line("*(u64 *)(r10 -24) = r2\n r3 = *(u16 *)(r10 -22)");
    block(4);
    line("r0 ^= r1\n exit");
    in_function_ = first_only_ = false;
  }

  base::Rng rng_;
  std::string text_;
  unsigned labels_ = 0, functions_ = 0;
  bool with_calls_ = false, in_function_ = false, first_only_ = false;
};

}  // namespace

std::vector<arch::ebpf::MapSpec> card_maps() {
  arch::ebpf::MapSpec array;
  array.type = arch::ebpf::kMapArray, array.key_size = 4, array.value_size = 16, array.max_entries = 5;
  array.name = "counts";
  arch::ebpf::MapSpec hash;
  hash.type = arch::ebpf::kMapHash, hash.key_size = 8, hash.value_size = 16, hash.max_entries = 6;
  hash.name = "values";
  return {array, hash};
}

std::string card_program(uint64_t seed, unsigned statements) { return Writer(seed).program(statements); }

}  // namespace xnic::tests
