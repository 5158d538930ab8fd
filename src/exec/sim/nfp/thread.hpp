// SPDX-License-Identifier: Apache-2.0
// Thread: one context of an NFP core with its registers and local memory, running a placed program on one packet.
//
// It executes the machine words and nothing else: what the program knows about eBPF is lost by then. It checks what the
// hardware leaves undefined, and stops with a Fault instead of guessing: a local memory pointer used before its three
// cycles are over, flags or an indirect shift's amount from an instruction that does not give them, a step of a
// multiplication out of order, a branch behind a branch, a memory address that is nobody's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "arch/nfp/image.hpp"
#include "exec/engine.hpp"
#include "exec/helpers/helper_context.hpp"
#include "exec/helpers/helper_state.hpp"
#include "exec/sim/nfp/trace.hpp"

namespace xnic::exec::sim::nfp {

namespace isa = arch::nfp;

struct ThreadCounters {
  uint64_t issued = 0;    // instructions
  uint64_t bubbles = 0;   // slots behind branches that nothing filled
  uint64_t commands = 0;  // to memories
  uint64_t helpers = 0;   // routines of the firmware called
};

// Where programs and the firmware's entries are in the store.
inline constexpr isa::Placement kPlacement{.start = 3072, .next_packet = 200, .helpers = 1000};

class Thread {
 public:
  // `words` are placed by kPlacement. Errors: kBadInput with the word that is not an instruction.
  static base::Result<std::unique_ptr<Thread>> make(const isa::Image& image, const std::vector<uint64_t>& words,
                                                    std::shared_ptr<const LoadedProgram> program);

  // Errors: kUnsupported with instruction and reason, when the model had to stop.
  base::Result<Verdict> run(packet::Packet& packet, const RunContext& context);
  const ThreadCounters& counters() const { return counters_; }
  // What the last run asked for.
  const Trace& trace() const { return trace_; }

 private:
  static constexpr uint32_t kLocalWords = 256;     // 1 KB a thread
  static constexpr uint32_t kVectorAddress = 512;  // behind the program's stack
  static constexpr uint32_t kPacketWindow = 2048;  // of a packet in the cluster memory
  static constexpr uint32_t kLongestRead = 128;    // bytes that a command may bring from behind it
  static constexpr uint32_t kPacketOffset = 128;   // of its first byte there
  static constexpr uint32_t kBufferAddress = 0x40040000;
  static constexpr uint64_t kValueBase = uint64_t{0x80} << 32;
  static constexpr uint32_t kValueStride = 64;
  static constexpr uint32_t kPoison = 0xdead0000;
  static constexpr uint64_t kBudget = 1 << 22;  // instructions of one packet

  // A value of a map, as the external memory shows it.
  struct Value {
    uint8_t* bytes;
    arch::ebpf::MapIndex map;
  };
  struct Product {  // of the multiplication under way
    isa::MultiplyType type = isa::MultiplyType::kStart;
    unsigned next = 0;
    uint32_t left = 0, right = 0;
    bool started = false;
  };
  struct PendingBranch {
    uint32_t target;
    unsigned left;  // deferred instructions still to run
  };
  struct PendingCommand {
    isa::Command command;
    uint64_t address;
    unsigned left;
  };

  Thread(const isa::Image& image, std::shared_ptr<const LoadedProgram> program)
      : image_(image), program_(std::move(program)) {}

  // thread.cpp
  void reset(packet::Packet& packet, const RunContext& context);
  void step();
  Verdict verdict();
  void stop(std::string why);
  uint32_t read(const isa::Operand& operand);
  void write(const isa::Operand& operand, uint32_t value);
  uint32_t* local(const isa::Lm& memory);
  uint32_t sum(uint32_t left, uint32_t right, bool carry);
  uint32_t arithmetic(isa::AluOp op, uint32_t left, uint32_t right);
  uint32_t shifted(isa::ShiftKind kind, unsigned amount, uint32_t left, uint32_t right);
  void branch(uint32_t target, unsigned defer, unsigned slots);
  bool holds(isa::Condition condition);
  void execute(const isa::Alu& insn);
  void execute(const isa::Shift& insn);
  void execute(const isa::LoadField& insn);
  void execute(const isa::LoadImmediate& insn);
  void execute(const isa::Branch& insn);
  void execute(const isa::BranchBit& insn);
  void execute(const isa::BranchByte& insn);
  void execute(const isa::JumpRegister& insn);
  void execute(const isa::Multiply& insn);
  void execute(const isa::Command& insn);  // memory.cpp
  void execute(const isa::CsrWrite& insn);
  void execute(const isa::CsrRead& insn);

  // Ends a stretch of the trace.
  void record(Access access, uint32_t words, uint32_t place);

  // memory.cpp
  void perform(const isa::Command& command, uint64_t address);
  void read_words(uint64_t address, unsigned count, unsigned xfer);
  void write_bytes(uint64_t address, unsigned count, unsigned xfer);
  void add(uint64_t address, uint64_t value, bool wide);
  // The host's byte at an address; null, after stop(), when nothing is there.
  uint8_t* byte_at(uint64_t address);
  const Value* value_at(uint64_t address);
  bool is_value(uint64_t address) const { return address >= kValueBase; }

  // firmware.cpp
  void firmware(uint32_t helper);
  void call_map(uint32_t helper);
  void event_output();
  uint64_t value_address(arch::ebpf::MapIndex map, void* value);
  void move_packet();
  void give_back(uint64_t result);
  maps::Map* map_numbered(uint32_t table);
  bool copy_local(unsigned pointer, uint32_t bytes, std::vector<uint8_t>& to);

  const isa::Image image_;
  std::shared_ptr<const LoadedProgram> program_;
  std::vector<isa::Instruction> code_;
  ThreadCounters counters_;
  Trace trace_;
  uint64_t recorded_ = 0;  // cycles of the core that are in the trace

  uint32_t a_[32] = {}, b_[32] = {};
  uint32_t in_[64] = {}, out_[64] = {};
  std::array<uint32_t, kLocalWords> local_{};
  uint32_t pointer_[4] = {};
  uint64_t pointer_ready_[4] = {};
  uint32_t pc_ = 0;
  uint64_t now_ = 0;  // cycle
  uint64_t executed_ = 0;
  uint32_t last_result_ = 0;
  uint32_t last_left_ = 0;
  uint64_t last_alu_ = 0;  // executed_ at the last ALU instruction
  bool negative_ = false, zero_ = false, carry_ = false, overflow_ = false;
  bool flags_known_ = false, carry_known_ = false;
  Product product_;
  std::optional<uint32_t> csr_;
  std::optional<PendingBranch> pending_branch_;
  std::optional<PendingCommand> pending_command_;
  std::optional<std::string> fault_;

  packet::Packet* packet_ = nullptr;
  uint8_t* buffer_ = nullptr;  // the host's byte that stands at kBufferAddress
  std::vector<Value> values_;
  std::unordered_map<const void*, uint32_t> value_numbers_;
  helpers::HelperContext helper_;
  helpers::HelperState helper_state_;
};

}  // namespace xnic::exec::sim::nfp
