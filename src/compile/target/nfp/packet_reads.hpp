// SPDX-License-Identifier: Apache-2.0
// The packet cache: which packet loads share one read into transfer registers. Internal to the compiler.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "compile/target/nfp/passes.hpp"

namespace xnic::compile::target::nfp {

class Copies;

// Where a pointer of the packet points: some bytes from its start, or from what a register held when it was last
// written.
struct PacketPlace {
  std::optional<arch::ebpf::Reg> base;
  uint32_t version = 0;  // of the register
  int64_t offset = 0;
  bool same_base(const PacketPlace& other) const { return base == other.base && version == other.version; }
};

// How often registers were written up to an instruction, in the order of the program's text: a name for what they hold
// as long as no branch comes in between.
class RegisterVersions {
 public:
  void step(const arch::ebpf::Instruction& insn);
  PacketPlace place(const arch::ebpf::RegFact& fact, arch::ebpf::Reg base, int16_t offset) const;

 private:
  std::array<uint32_t, arch::ebpf::kRegCount> written_{};
};

// What a load takes from a read that it shares.
struct SharedRead {
  bool first = false;  // it does the read
  uint32_t at = 0;     // bytes from the read's first one
  uint32_t bytes = 0;  // of the read
  uint32_t xfer = 0;   // its first transfer register
};

class PacketReads {
 public:
  // Takes passes kPacketCache and kWideReads out of the set.
  // Instructions that `copies` stands for are not looked at.
  PacketReads(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const Copies& copies,
              const PassSet& passes);
  // Nothing: the load reads for itself.
  std::optional<SharedRead> at(arch::ebpf::Slot slot) const;
  // The transfer register of reads that nobody shares.
  uint32_t own_register() const { return own_register_; }

 private:
  using Slot = arch::ebpf::Slot;
  struct Read {
    PacketPlace base;
    int64_t begin = 0, end = 0;
    int64_t floor = INT64_MIN, ceiling = INT64_MAX;  // behind which something was stored since
    Slot first = 0;
    uint32_t xfer = 0;
    uint32_t loads = 1;
  };
  struct Use {
    uint32_t read;
    int64_t offset;
  };
  using Available = std::vector<uint32_t>;  // reads whose bytes are in their registers, oldest first

  void find_entrances();
  void walk();
  void load(const arch::ebpf::Load& insn, Slot slot, const RegisterVersions& versions);
  bool can_join(const Read& read, const PacketPlace& place, int64_t end) const;
  void forget_stored(const PacketPlace& place, unsigned bytes);
  void forget_registers(const arch::ebpf::Instruction& insn);

  const arch::ebpf::Program& program_;
  const arch::ebpf::Facts& facts_;
  const Copies& copies_;
  const bool wide_;
  uint32_t own_register_ = 0;
  std::vector<bool> entrance_, from_below_;        // by slot: a branch comes here; one from below
  std::vector<std::optional<Available>> brought_;  // by slot: what branches to it bring
  Available available_;
  std::vector<Read> reads_;
  std::vector<std::optional<Use>> uses_;  // by slot
};

}  // namespace xnic::compile::target::nfp
