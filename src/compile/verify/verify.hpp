// SPDX-License-Identifier: Apache-2.0
// The verifier: accepts what the kernel accepts of real programs, rejects every unsafe one and says why.
#pragma once

#include <cstdint>
#include <string>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "base/result.hpp"

namespace xnic::compile::verify {

// What the verifier needs to know of the maps' contents and of the kernel it stands for.
class Environment {
 public:
  virtual ~Environment() = default;
  // Bytes of a frozen, read-only array map's value (its loads are constants), or null when they may change.
  virtual const uint8_t* frozen_value(arch::ebpf::MapIndex map) const = 0;
};

struct Options {
  uint64_t max_visits = 1'000'000;  // instructions visited over all paths, as the kernel's limit
  int log_level =
      0;  // 0: nothing unless rejected; 1: rejection and its path; 2: every visited instruction with its state
};

// Why a program was rejected; a value, not an error of ours.
struct Rejection {
  enum class Kind : uint8_t {
    kMemory,       // access outside what is proved, misaligned, wrong direction
    kType,         // wrong register type for the instruction or helper argument
    kTermination,  // loop or recursion without a bound, program too complex
    kStructure,    // unreachable code, jump out of range, bad opcode
    kReference,    // resource not released, lock held
    kUnsupported,  // the kernel may accept it; this card does not have it
    kLimit,        // stack, program size, call depth
  };
  Kind kind;
  arch::ebpf::Slot slot;
  int error = 0;       // errno that BPF_PROG_LOAD gives (EACCES, EINVAL, E2BIG, …), positive
  std::string reason;  // one line, in the kernel's words where it has them ("invalid access to packet, off=14 size=4,
                       // R1(id=0,off=14,r=0)")
  std::string advice;  // what to change, in one sentence
  std::string source;  // "file.c:12: text of the line", empty without line info
  std::string state;   // registers before the instruction: "R1=ctx() R2=pkt(off=14,r=0) R10=fp0"
};

struct Outcome {
  bool accepted = false;
  arch::ebpf::Facts facts;  // when accepted
  Rejection rejection;      // when not
  std::string log;          // as asked for by log_level; ends with the statistics line of the kernel's log
};

// Explores every path of the program (path-sensitive, with state pruning as kernel/bpf/verifier.c does it).
// Cost: bounded by max_visits. Never throws, never allocates more than a documented bound.
Outcome verify(const arch::ebpf::Program& program, const Environment& environment, const Options& options = {});

}  // namespace xnic::compile::verify
