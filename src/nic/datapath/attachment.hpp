// SPDX-License-Identifier: Apache-2.0
// A program attached to a port: an engine of its own for each worker, and the maps and map entries that its redirects
// lead to, found ready so that the packet path looks nothing up in the device.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "exec/engine.hpp"

namespace xnic::nic::datapath {

// The card's map with this id, or null. May lock: called once for a map that is not known yet.
using MapResolver = std::function<std::shared_ptr<exec::maps::Map>(uint32_t id)>;

// What a devmap or cpumap entry says: the port or queue size, and its program's id (0: none).
struct EntryValue {
  uint32_t target = 0;
  uint32_t program_id = 0;
};
// The entry of `key`; nothing when the map has none now. No lock.
EntryValue entry_value(exec::maps::Map& map, uint32_t key);

// One worker's side of an attached program. Used by that worker alone, except to make and to destroy it.
class WorkerProgram {
 public:
  // Without a program: serves packets that are under way from a program that is gone.
  WorkerProgram(std::string engine_name, const MapResolver& resolver)
      : engine_name_(std::move(engine_name)), resolver_(&resolver) {}
  // Compiles the program and those of the entries that its maps have now. Errors: the engine's.
  base::Result<void> load(const std::shared_ptr<const exec::LoadedProgram>& program);

  exec::Engine* engine() { return engine_.get(); }
  // The map that a redirect names, or null. The first time for a map of another program (after a tail call) it is
  // looked up in the device.
  exec::maps::Map* map(uint32_t id);
  // The engine with the program of an entry; null when the entry has lost it meanwhile or it does not load. A program
  // that came to the entry after the attachment is compiled here, once.
  exec::Engine* entry_engine(exec::maps::Map& map, uint32_t key, uint32_t program_id);

 private:
  struct Known {
    uint32_t id;
    std::shared_ptr<exec::maps::Map> map;
  };
  struct Entry {
    uint32_t program_id;
    std::shared_ptr<const exec::LoadedProgram> program;  // keeps the id from meaning another one
    std::unique_ptr<exec::Engine> engine;
  };
  exec::Engine* add_entry(std::shared_ptr<const exec::LoadedProgram> program);

  std::string engine_name_;
  const MapResolver* resolver_;
  std::unique_ptr<exec::Engine> engine_;
  std::vector<Known> maps_;
  std::vector<Entry> entries_;
};

struct Attachment {
  // Errors: kBadInput (no such engine), and the engine's.
  static base::Result<std::shared_ptr<Attachment>> make(std::shared_ptr<const exec::LoadedProgram> program,
                                                        const std::string& engine_name, uint32_t workers,
                                                        const MapResolver& resolver);
  std::shared_ptr<const exec::LoadedProgram> program;
  std::vector<std::unique_ptr<WorkerProgram>> workers;
};

}  // namespace xnic::nic::datapath
