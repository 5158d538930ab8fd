// SPDX-License-Identifier: Apache-2.0
// What the interpreter makes of a program's packets, run once, and any number of images compared with it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arch/hxdp/image.hpp"
#include "base/result.hpp"
#include "exec/engine.hpp"
#include "random_packet.hpp"

namespace xnic::tests {

enum class Machine : uint8_t {
  kCard,  // the engine "hxdp": checks the rules of the hardware with its own checker, then runs
  kRows,  // rows.hpp: slow, without time, says which access leaves memory
};

struct ImageRun {
  uint64_t packets = 0;
  bool illegal = false;    // the card refused the image: a rule is broken
  std::string difference;  // in words; empty when both agree
};

class Reference {
 public:
  // Each call gives the program with maps of its own, all equally filled.
  using Maker = std::function<std::shared_ptr<const exec::LoadedProgram>()>;

  // Runs the interpreter. Errors: its own.
  static base::Result<Reference> make(Maker maker, std::vector<RandomPacket> packets);

  // Runs the image on the first `packets` of the packets; maps are compared when that is all of them. Stops at the
  // first difference.
  ImageRun compare(const arch::hxdp::Image& image, Machine machine, size_t packets) const;
  size_t packets() const { return packets_.size(); }
  // A loaded program with maps that nobody has used.
  std::shared_ptr<const exec::LoadedProgram> program() const { return make_(); }

 private:
  struct Expected {
    exec::Verdict verdict;
    std::vector<uint8_t> metadata;
    std::vector<uint8_t> bytes;
  };
  using Contents = std::multimap<std::vector<uint8_t>, std::vector<uint8_t>>;

  void place(size_t i, exec::packet::Packet& packet) const;
  std::string packet_difference(size_t i, const exec::Verdict& verdict, const exec::packet::Packet& packet) const;
  std::string map_difference(const exec::LoadedProgram& program) const;
  ImageRun run_rows(const arch::hxdp::Image& image, const exec::LoadedProgram& program, size_t packets) const;
  ImageRun run_card(const arch::hxdp::Image& image, const std::shared_ptr<const exec::LoadedProgram>& program,
                    size_t packets) const;
  static void read_contents(exec::maps::Map& map, Contents& all);

  Maker make_;
  std::vector<RandomPacket> packets_;
  std::vector<Expected> expected_;
  std::vector<Contents> contents_;  // by map
};

}  // namespace xnic::tests
