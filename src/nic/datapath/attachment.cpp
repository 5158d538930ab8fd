// SPDX-License-Identifier: Apache-2.0
// Map ids and program ids of a device are never used twice, so what was found once stays true while it is kept.
#include "nic/datapath/attachment.hpp"

#include "base/bytes.hpp"
#include "base/check.hpp"

namespace xnic::nic::datapath {

using exec::maps::Map;

EntryValue entry_value(Map& map, uint32_t key) {
  const auto* slot = static_cast<const uint64_t*>(map.lookup(&key, 0));
  if (slot == nullptr) return {};
  // One load: the port of one value is never seen with the program of another.
  uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
  return {base::load<uint32_t>(&word), base::load<uint32_t>(reinterpret_cast<const uint8_t*>(&word) + 4)};
}

base::Result<void> WorkerProgram::load(const std::shared_ptr<const exec::LoadedProgram>& program) {
  engine_ = exec::make_engine(engine_name_);
  if (engine_ == nullptr)
    return base::make_error(base::ErrorKind::kBadInput, "engine", "there is none named '{}'", engine_name_);
  XNIC_TRY(engine_->load(program));
  for (size_t i = 0; i < program->maps.size(); ++i) {
    if (i >= program->map_ids.size()) break;
    const auto type = program->maps[i]->spec().type;
    if (type != arch::ebpf::kMapDevmap && type != arch::ebpf::kMapDevmapHash && type != arch::ebpf::kMapCpumap &&
        type != arch::ebpf::kMapXskmap)
      continue;
    maps_.push_back({program->map_ids[i], program->maps[i]});
    if (type == arch::ebpf::kMapXskmap) continue;
    uint32_t key = 0;
    for (int more = program->maps[i]->host_next_key(nullptr, &key); more == 0;) {
      const EntryValue value = entry_value(*program->maps[i], key);
      if (value.program_id != 0) entry_engine(*program->maps[i], key, value.program_id);
      const uint32_t last = key;
      more = program->maps[i]->host_next_key(&last, &key);
    }
  }
  return {};
}

Map* WorkerProgram::map(uint32_t id) {
  for (const Known& known : maps_)
    if (known.id == id) return known.map.get();
  std::shared_ptr<Map> found = (*resolver_)(id);
  if (found == nullptr) return nullptr;
  maps_.push_back({id, std::move(found)});
  return maps_.back().map.get();
}

exec::Engine* WorkerProgram::entry_engine(Map& map, uint32_t key, uint32_t program_id) {
  for (const Entry& entry : entries_)
    if (entry.program_id == program_id) return entry.engine.get();
  std::shared_ptr<const exec::LoadedProgram> program = map.program(key);
  if (program == nullptr || program->id != program_id) return nullptr;
  return add_entry(std::move(program));
}

// A program that the engine does not take is remembered without one, so that it is tried once.
exec::Engine* WorkerProgram::add_entry(std::shared_ptr<const exec::LoadedProgram> program) {
  std::unique_ptr<exec::Engine> engine = exec::make_engine(engine_name_);
  CHECK(engine != nullptr);
  if (!engine->load(program)) engine.reset();
  const uint32_t id = program->id;
  entries_.push_back({id, std::move(program), std::move(engine)});
  return entries_.back().engine.get();
}

base::Result<std::shared_ptr<Attachment>> Attachment::make(std::shared_ptr<const exec::LoadedProgram> program,
                                                           const std::string& engine_name, uint32_t workers,
                                                           const MapResolver& resolver) {
  auto attachment = std::make_shared<Attachment>();
  for (uint32_t worker = 0; worker < workers; ++worker) {
    attachment->workers.push_back(std::make_unique<WorkerProgram>(engine_name, resolver));
    XNIC_TRY(attachment->workers.back()->load(program));
  }
  attachment->program = std::move(program);
  return attachment;
}

}  // namespace xnic::nic::datapath
