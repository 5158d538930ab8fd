// SPDX-License-Identifier: Apache-2.0
// The maps of running programs. A map is named by its name in the object, by PORT/NAME where several objects have one
// of that name, or by its id. Dumps and watches are streams that walk the map a page at a time, so that a large map
// holds up neither the other clients nor memory.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "arch/ebpf/map_types.hpp"
#include "device/map_json.hpp"
#include "nic/control/service.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

namespace {

constexpr size_t kPage = 128;
constexpr uint32_t kMaxWatched = 65536;

uint32_t id_of(device::Device& device, int fd) {
  bpf_map_info info{};
  union bpf_attr attr{};
  attr.info.bpf_fd = static_cast<uint32_t>(fd);
  attr.info.info_len = sizeof info;
  attr.info.info = exec::kernel::attr_pointer(&info);
  return device.bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) == 0 ? info.id : 0;
}

class DumpStream final : public Stream {
 public:
  // `keep` holds what the walk walks over.
  DumpStream(device::MapWalk walk, std::shared_ptr<LoadedObject> keep)
      : walk_(std::move(walk)), keep_(std::move(keep)) {}
  std::optional<Message> next() override {
    if (ended_) return std::nullopt;
    ordered_json page = walk_.next(kPage);
    if (!page.empty()) return Message{to_text({{"elements", std::move(page)}})};
    ended_ = true;
    return std::nullopt;
  }
  bool ended() const override { return ended_; }

 private:
  device::MapWalk walk_;
  std::shared_ptr<LoadedObject> keep_;
  bool ended_ = false;
};

// Compares the map with what it was an interval ago. The first message holds every element.
class WatchStream final : public Stream {
 public:
  WatchStream(const device::ObjectMap& map, std::shared_ptr<LoadedObject> keep, std::chrono::milliseconds interval)
      : map_(map), keep_(std::move(keep)), interval_(interval) {}
  std::optional<Message> next() override {
    const auto now = std::chrono::steady_clock::now();
    if (now < due_) return std::nullopt;
    due_ = now + interval_;
    auto walk = device::MapWalk::begin(map_);
    if (!walk) return std::nullopt;
    ordered_json set = ordered_json::array(), gone = ordered_json::array();
    std::map<std::string, std::string> seen;
    for (ordered_json page = walk->next(kPage); !page.empty(); page = walk->next(kPage)) {
      for (ordered_json& element : page) {
        std::string key = element["key"].dump(), text = to_text(element);
        const auto before = known_.find(key);
        if (before == known_.end() || before->second != text) set.push_back(std::move(element));
        seen.insert_or_assign(std::move(key), std::move(text));
      }
    }
    for (const auto& [key, text] : known_)
      if (!seen.contains(key)) gone.push_back(ordered_json::parse(text));
    known_ = std::move(seen);
    if (set.empty() && gone.empty()) return std::nullopt;
    return Message{to_text({{"set", std::move(set)}, {"deleted", std::move(gone)}})};
  }
  bool ended() const override { return false; }

 private:
  device::ObjectMap map_;
  std::shared_ptr<LoadedObject> keep_;
  std::chrono::milliseconds interval_;
  std::chrono::steady_clock::time_point due_{};
  std::map<std::string, std::string> known_;  // key, element
};

}  // namespace

std::vector<Service::NamedMap> Service::running_maps() {
  std::vector<NamedMap> maps;
  std::vector<const LoadedObject*> seen;
  for (const auto& [name, port] : ports_) {
    if (port.object == nullptr || std::ranges::find(seen, port.object.get()) != seen.end()) continue;
    seen.push_back(port.object.get());
    std::vector<std::string> users;
    for (const auto& [other, user] : ports_)
      if (user.object == port.object) users.push_back(other);
    for (const device::ObjectMap& map : port.object->object.maps())
      maps.push_back({port.object, map, users, id_of(device_, map.fd)});
  }
  return maps;
}

Result<Service::NamedMap> Service::find_map(const std::string& name) {
  const size_t slash = name.find('/');
  const std::string port = slash == name.npos ? "" : name.substr(0, slash);
  const std::string wanted = slash == name.npos ? name : name.substr(slash + 1);
  std::vector<NamedMap> found;
  std::string names;
  for (NamedMap& map : running_maps()) {
    names += (names.empty() ? "" : ", ") + map.ports.front() + "/" + map.map.name;
    const bool here = port.empty() || std::ranges::find(map.ports, port) != map.ports.end();
    if (here && (map.map.name == wanted || (port.empty() && std::to_string(map.id) == wanted)))
      found.push_back(std::move(map));
  }
  if (found.size() == 1) return std::move(found.front());
  if (found.empty())
    return make_error(ErrorKind::kBadInput, name, "no running program has such a map; there are: {}",
                      names.empty() ? "none" : names);
  return make_error(ErrorKind::kBadInput, name, "there are {} maps of this name: say PORT/{} or give the id, as in: {}",
                    found.size(), wanted, names);
}

Result<ordered_json> Service::maps_request() {
  ordered_json list = ordered_json::array();
  for (const NamedMap& map : running_maps()) {
    const auto& spec = map.map.map->spec();
    const arch::ebpf::MapTypeInfo* type = arch::ebpf::find_map_type(spec.type);
    list.push_back({{"id", map.id},
                    {"name", map.map.name},
                    {"ports", map.ports},
                    {"type", type != nullptr ? type->name : "?"},
                    {"key_bytes", spec.key_size},
                    {"value_bytes", spec.value_size},
                    {"max_entries", spec.max_entries},
                    {"entries", map.map.map->entries()},
                    {"typed", map.map.btf_value_type_id != 0}});
  }
  return ordered_json{{"maps", std::move(list)}};
}

Result<Reply> Service::map_request(const std::string& what, const ordered_json& request) {
  XNIC_ASSIGN(const std::string name, text_member(request, "map", true));
  XNIC_ASSIGN(NamedMap map, find_map(name));
  const Reply done{{R"({"ok":true})"}, nullptr};
  if (what == "dump") {
    XNIC_ASSIGN(device::MapWalk walk, device::MapWalk::begin(map.map));
    return Reply{done.message, std::make_unique<DumpStream>(std::move(walk), std::move(map.object))};
  }
  if (what == "watch") {
    XNIC_ASSIGN(const uint64_t interval, number_member(request, "interval_ms", 1000, 3'600'000));
    if (map.map.map->spec().max_entries > kMaxWatched)
      return make_error(ErrorKind::kLimit, name, "has room for {} entries: up to {} can be watched",
                        map.map.map->spec().max_entries, kMaxWatched);
    return Reply{done.message,
                 std::make_unique<WatchStream>(map.map, std::move(map.object),
                                               std::chrono::milliseconds(std::max<uint64_t>(interval, 10)))};
  }
  if (what == "set" && request.contains("elements")) {
    XNIC_TRY(device::fill_map(map.map, request["elements"], name));
    return Reply{done.message};
  }
  if (what != "get" && what != "set" && what != "delete")
    return make_error(ErrorKind::kBadInput, "request", "\"map_{}\" is none", what);
  if (!request.contains("key")) return make_error(ErrorKind::kBadInput, "request", "\"key\" is missing");
  const ordered_json& key = request["key"];
  if (what == "get") {
    XNIC_ASSIGN(const ordered_json element, device::get_element(map.map, key, name));
    return Reply{{to_text({{"ok", true}, {"element", element}})}};
  }
  if (what == "delete") {
    XNIC_TRY(device::erase_element(map.map, key, name));
    return Reply{done.message};
  }
  if (!request.contains("value")) return make_error(ErrorKind::kBadInput, "request", "\"value\" is missing");
  XNIC_TRY(device::fill_map(map.map, ordered_json::array({{{"key", key}, {"value", request["value"]}}}), name));
  return Reply{done.message};
}

}  // namespace xnic::nic::control
