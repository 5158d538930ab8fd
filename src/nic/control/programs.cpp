// SPDX-License-Identifier: Apache-2.0
// Programs: loaded whole by libbpf through the door of the card's device, attached by links. The first attachment of a
// port makes a link, later ones update it, so no packet meets a port without a program between two of them.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "device/map_json.hpp"
#include "nic/control/service.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

Result<const device::ObjectProgram*> choose(const device::Object& object, const std::string& file,
                                            const std::string& wanted) {
  std::string names;
  for (const device::ObjectProgram& program : object.programs()) {
    if (wanted.empty() ? object.programs().size() == 1 : program.name == wanted || program.section == wanted)
      return &program;
    names += (names.empty() ? "" : ", ") + program.name;
  }
  if (wanted.empty())
    return make_error(ErrorKind::kBadInput, file, "has {} programs ({}): name one", object.programs().size(), names);
  return make_error(ErrorKind::kBadInput, file, "has no program '{}'; it has {}", wanted, names);
}

Result<ordered_json> read_json(const std::string& file) {
  XNIC_ASSIGN(const auto text, base::read_file(file));
  ordered_json json = ordered_json::parse(text, nullptr, false);
  if (json.is_discarded()) return make_error(ErrorKind::kBadInput, file, "is not valid JSON");
  return json;
}

}  // namespace

Result<std::shared_ptr<LoadedObject>> Service::load(base::Bytes elf, const std::string& file,
                                                    const std::string& program_name, const Fills& fills) {
  device::LoadOptions options;
  options.program = program_name;
  options.set_global_data = [&fills](const device::GlobalData& data) -> Result<void> {
    for (const auto& [map, json] : fills)
      if (map == data.name) XNIC_TRY(device::fill_global_data(data, json, map));
    return {};
  };
  XNIC_ASSIGN(device::Object object, device::Object::load_bytes(device_, elf, file, options));
  for (const auto& [name, json] : fills) {
    const device::ObjectMap* map = object.find_map(name);
    if (map == nullptr) {
      std::string names;
      for (const device::ObjectMap& other : object.maps()) names += (names.empty() ? "" : ", ") + other.name;
      return make_error(ErrorKind::kBadInput, file, "has no map '{}' to fill; it has: {}", name,
                        names.empty() ? "none" : names);
    }
    if (!name.starts_with('.')) XNIC_TRY(device::fill_map(*map, json, name));
  }
  return std::make_shared<LoadedObject>(LoadedObject{file, std::move(object)});
}

// Ports that name the same file share one load of it.
Result<void> Service::load_programs() {
  std::lock_guard lock(mutex_);
  std::map<std::string, std::vector<const PortConfig*>> files;
  for (const PortConfig& port : config_.ports)
    if (!port.program.empty()) files[port.program].push_back(&port);
  for (const auto& [file, users] : files)
    if (auto loaded = load_file(file, users); !loaded)
      return base::Unexpected(base::Error{loaded.error().kind, users.front()->where, loaded.error().message()});
  return {};
}

Result<void> Service::load_file(const std::string& file, const std::vector<const PortConfig*>& users) {
  XNIC_ASSIGN(const std::vector<uint8_t> elf, base::read_file(file));
  Fills fills;
  for (const PortConfig* user : users) {
    for (const MapFill& fill : user->maps) {
      if (std::ranges::any_of(fills, [&](const auto& other) { return other.first == fill.map; }))
        return make_error(
            ErrorKind::kBadInput, file,
            "two ports fill its map '{}', but ports that name one file share its maps: give port {} a copy "
            "of the file, or fill the map once",
            fill.map, user->info.name);
      XNIC_ASSIGN(ordered_json json, read_json(fill.file));
      fills.emplace_back(fill.map, std::move(json));
    }
  }
  const std::string& name = users.front()->program_name;
  const bool one = std::ranges::all_of(users, [&](const PortConfig* user) { return user->program_name == name; });
  XNIC_ASSIGN(configured_[file], load(elf, file, one ? name : "", fills));
  return {};
}

Result<void> Service::attach(Port& port, std::shared_ptr<LoadedObject> object, const std::string& program_name,
                             const std::string& engine) {
  const port::Info& info = port.port->info();
  XNIC_ASSIGN(const device::ObjectProgram* const program, choose(object->object, object->file, program_name));
  const std::string before = port.engine;
  if (!engine.empty()) XNIC_TRY(card_->set_engine(info.ifindex, engine));
  const auto start = std::chrono::steady_clock::now();
  union bpf_attr attr{};
  long result = 0;
  if (port.link.get() < 0) {
    attr.link_create.prog_fd = static_cast<uint32_t>(program->fd);
    attr.link_create.target_ifindex = info.ifindex;
    attr.link_create.attach_type = BPF_XDP;
    result = device_.bpf(BPF_LINK_CREATE, &attr, sizeof attr);
    if (result >= 0) port.link = exec::kernel::Fd(static_cast<int>(result));
  } else {
    attr.link_update.link_fd = static_cast<uint32_t>(port.link.get());
    attr.link_update.new_prog_fd = static_cast<uint32_t>(program->fd);
    result = device_.bpf(BPF_LINK_UPDATE, &attr, sizeof attr);
  }
  if (result < 0) {
    if (!engine.empty()) XNIC_TRY(card_->set_engine(info.ifindex, before));
    if (const auto why = card_->attach_error(info.ifindex)) return base::Unexpected(*why);
    return make_error(ErrorKind::kBadInput, info.name, "the card refuses program '{}': {}", program->name,
                      std::strerror(static_cast<int>(-result)));
  }
  if (!engine.empty()) port.engine = engine;
  port.program = program;
  port.object = std::move(object);  // the one before, and its maps, go unless another port has it
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
  log_(Level::kInfo, fmt::format("port {}: program {} of {} attached in {:.1f} ms", info.name, program->name,
                                 port.object->file, static_cast<double>(took.count()) / 1000));
  return {};
}

Result<void> Service::detach(Port& port) {
  const std::string& name = port.port->info().name;
  if (port.program == nullptr) return make_error(ErrorKind::kBadInput, name, "has no program");
  union bpf_attr attr{};
  attr.link_detach.link_fd = static_cast<uint32_t>(port.link.get());
  device_.bpf(BPF_LINK_DETACH, &attr, sizeof attr);
  port.link = exec::kernel::Fd();
  port.program = nullptr;
  port.object.reset();
  log_(Level::kInfo, fmt::format("port {}: program detached", name));
  return {};
}

}  // namespace xnic::nic::control
