// SPDX-License-Identifier: Apache-2.0
// The compiler's passes by name, each of which can be left out. The first ones are those of the Linux driver; the
// others work on the words that it would have written.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>

namespace xnic::compile::target::nfp {

// X(name, identifier, the driver's?, what it does)
#define XNIC_NFP_PASSES(X)                                                                                     \
  X(kDeadBranches, "dead-branches", true, "branches that go one way only are not compared")                    \
  X(kZeroExtension, "zero-extension", true, "upper halves that nobody reads are not cleared")                  \
  X(kImmediateForms, "immediate-forms", true, "negative constants are turned round, masks and zeros left out") \
  X(kMultiplyRange, "multiply-range", true, "products of 16-bit numbers take two steps")                       \
  X(kShiftRange, "shift-range", true, "shifts by registers follow what is known of the amount")                \
  X(kPacketCache, "packet-cache", true, "packet loads near each other share a read")                           \
  X(kGather, "gather", true, "packet bytes are copied by one read and one write")                              \
  X(kWideReads, "wide-reads", false, "reads are shared over joins of paths, stores elsewhere and 120 bytes")   \
  X(kThreading, "threading", false, "branches to branches go to the end at once")                              \
  X(kConstants, "constants", false, "long constants keep a register of their own")                             \
  X(kValues, "values", false, "values that a register already has are not computed or copied again")           \
  X(kDeadWords, "dead-words", false, "results that nobody reads are not computed")                             \
  X(kBanks, "banks", false, "registers are written in the bank where they are read")                           \
  X(kPointerDelays, "pointer-delays", false, "other work is done while a local memory pointer is being set")   \
  X(kDelaySlots, "delay-slots", false, "other work is done behind branches")

enum class Pass : uint8_t {
#define XNIC_NFP_PASS(name, id, driver, what) name,
  XNIC_NFP_PASSES(XNIC_NFP_PASS)
#undef XNIC_NFP_PASS
};

struct PassInfo {
  std::string_view name;
  bool driver;
  std::string_view what;
};
inline constexpr PassInfo kPasses[] = {
#define XNIC_NFP_PASS(name, id, driver, what) {id, driver, what},
    XNIC_NFP_PASSES(XNIC_NFP_PASS)
#undef XNIC_NFP_PASS
};

class PassSet {
 public:
  static PassSet all() { return PassSet(~uint32_t{0}); }
  static PassSet none() { return PassSet(0); }
  // What the driver does.
  static PassSet driver() {
    PassSet set = none();
    for (size_t i = 0; i < std::size(kPasses); ++i) set.bits_[i] = kPasses[i].driver;
    return set;
  }
  bool has(Pass pass) const { return bits_[static_cast<size_t>(pass)]; }
  void put(Pass pass, bool on) { bits_[static_cast<size_t>(pass)] = on; }
  bool operator==(const PassSet&) const = default;

 private:
  explicit PassSet(uint32_t bits) : bits_(bits) {}
  std::bitset<std::size(kPasses)> bits_;
};

inline std::optional<Pass> find_pass(std::string_view name) {
  for (size_t i = 0; i < std::size(kPasses); ++i)
    if (kPasses[i].name == name) return static_cast<Pass>(i);
  return std::nullopt;
}

}  // namespace xnic::compile::target::nfp
