// SPDX-License-Identifier: Apache-2.0
// Between maps and bpftool's JSON. Elements are read and written through the host side of Map, as bpf(2) does.
#include "device/map_json.hpp"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "device/typed_value.hpp"

namespace xnic::device {

using base::Bytes;
using base::ErrorKind;
using base::make_error;
using base::MutableBytes;
using base::Result;
using nlohmann::ordered_json;

namespace {

// bpftool's form of raw bytes: ["0x01", "0xff"].
ordered_json hex_bytes(Bytes bytes) {
  ordered_json list = ordered_json::array();
  for (uint8_t byte : bytes) list.push_back(fmt::format("0x{:02x}", byte));
  return list;
}

uint32_t percpu_stride(uint32_t value_bytes) { return (value_bytes + 7) / 8 * 8; }

// The map with its types; one object walks or fills one map.
class MapText {
 public:
  static Result<MapText> make(const ObjectMap& map) {
    MapText text(map);
    const auto& blob = map.map->spec().btf;
    if (blob != nullptr && (map.btf_key_type_id != 0 || map.btf_value_type_id != 0)) {
      XNIC_ASSIGN(text.types_, TypeTable::parse(*blob));
    }
    return text;
  }

  ordered_json element(Bytes key, Bytes value) const {
    ordered_json raw = {{"key", hex_bytes(key)}};
    ordered_json formatted;
    const bool key_typed = typed(map_.btf_key_type_id, key.size());
    const bool value_typed = typed(map_.btf_value_type_id, spec().value_size);
    if (value_typed) formatted["key"] = key_typed ? types_->to_json(map_.btf_key_type_id, key) : hex_bytes(key);
    if (!percpu()) {
      raw["value"] = hex_bytes(value);
      if (value_typed) formatted["value"] = types_->to_json(map_.btf_value_type_id, value);
    } else {
      raw["values"] = ordered_json::array();
      for (uint32_t cpu = 0; cpu < map_.map->cpus(); ++cpu) {
        const Bytes copy = value.subspan(size_t{cpu} * percpu_stride(spec().value_size), spec().value_size);
        raw["values"].push_back({{"cpu", cpu}, {"value", hex_bytes(copy)}});
        if (value_typed)
          formatted["values"].push_back({{"cpu", cpu}, {"value", types_->to_json(map_.btf_value_type_id, copy)}});
      }
    }
    if (value_typed) raw["formatted"] = std::move(formatted);
    return raw;
  }

  Result<std::vector<uint8_t>> read_key(const ordered_json& json, const std::string& where) const {
    std::vector<uint8_t> key(spec().key_size);
    if (key.empty()) return make_error(ErrorKind::kUnsupported, where, "map '{}' has no keys", map_.name);
    XNIC_TRY(read_field(json, map_.btf_key_type_id, key, where));
    return key;
  }

  Result<void> read_element(const ordered_json& element, const std::string& where, MutableBytes key,
                            MutableBytes value) const {
    if (!element.is_object())
      return make_error(ErrorKind::kBadInput, where, "needs an object with \"key\" and \"value\"");
    if (!key.empty()) {
      if (!element.contains("key")) return make_error(ErrorKind::kBadInput, where, "has no \"key\"");
      XNIC_TRY(read_field(element["key"], map_.btf_key_type_id, key, where + ".key"));
    }
    if (!percpu()) {
      if (!element.contains("value")) return make_error(ErrorKind::kBadInput, where, "has no \"value\"");
      return read_field(element["value"], map_.btf_value_type_id, value, where + ".value");
    }
    return read_percpu(element, where, value);
  }

 private:
  explicit MapText(const ObjectMap& map) : map_(map) {}
  const arch::ebpf::MapSpec& spec() const { return map_.map->spec(); }
  bool percpu() const { return arch::ebpf::is_percpu(spec().type); }
  bool typed(uint32_t type_id, size_t bytes) const {
    return types_.has_value() && type_id != 0 && types_->size(type_id) == static_cast<int64_t>(bytes);
  }

  Result<void> read_percpu(const ordered_json& element, const std::string& where, MutableBytes value) const {
    const uint32_t stride = percpu_stride(spec().value_size);
    if (element.contains("value")) {  // one value for every CPU
      for (uint32_t cpu = 0; cpu < map_.map->cpus(); ++cpu) {
        XNIC_TRY(read_field(element["value"], map_.btf_value_type_id,
                            value.subspan(size_t{cpu} * stride, spec().value_size), where + ".value"));
      }
      return {};
    }
    if (!element.contains("values") || !element["values"].is_array()) {
      return make_error(ErrorKind::kBadInput, where,
                        "a per-CPU map needs \"values\": [{{\"cpu\", \"value\"}}], or one \"value\" for all");
    }
    for (const ordered_json& copy : element["values"]) {
      if (!copy.is_object() || !copy.contains("cpu") || !copy["cpu"].is_number_unsigned() || !copy.contains("value") ||
          copy["cpu"].get<uint64_t>() >= map_.map->cpus()) {
        return make_error(ErrorKind::kBadInput, where, "\"values\" needs {{\"cpu\": 0..{}, \"value\"}}",
                          map_.map->cpus() - 1);
      }
      XNIC_TRY(read_field(copy["value"], map_.btf_value_type_id,
                          value.subspan(copy["cpu"].get<size_t>() * stride, spec().value_size), where + ".values"));
    }
    return {};
  }

  // A byte list ("0x.." strings, exactly as many as there are bytes), a typed value, or, without a type, one integer.
  Result<void> read_field(const ordered_json& json, uint32_t type_id, MutableBytes bytes,
                          const std::string& where) const {
    if (is_byte_list(json)) {
      if (json.size() != bytes.size()) {
        return make_error(ErrorKind::kBadInput, where, "has {} bytes, the map needs {}", json.size(), bytes.size());
      }
      for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<uint8_t>(std::strtoul(json[i].get<std::string>().c_str(), nullptr, 16));
      }
      return {};
    }
    if (typed(type_id, bytes.size())) return types_->from_json(type_id, json, bytes, where);
    if (json.is_number_integer() && bytes.size() <= 8) {
      const auto number = json.get<uint64_t>();
      if (bytes.size() < 8 && number >> (8 * bytes.size()) != 0) {
        return make_error(ErrorKind::kBadInput, where, "{} does not fit in {} bytes", json.dump(), bytes.size());
      }
      uint8_t little[8];
      base::store_le(little, number);
      std::copy_n(little, bytes.size(), bytes.begin());
      return {};
    }
    return make_error(ErrorKind::kBadInput, where, "the object has no type for it: give {} bytes as [\"0x..\", ...]",
                      bytes.size());
  }

  static bool is_byte_list(const ordered_json& json) {
    if (!json.is_array() || json.empty()) return false;
    for (const ordered_json& byte : json) {
      if (!byte.is_string()) return false;
      const auto& text = byte.get_ref<const std::string&>();
      if (!text.starts_with("0x") || text.size() < 3 || text.size() > 4 ||
          text.find_first_not_of("0123456789abcdefABCDEF", 2) != text.npos) {
        return false;
      }
    }
    return true;
  }

  ObjectMap map_;
  std::optional<TypeTable> types_;
};

}  // namespace

struct MapWalk::State {
  MapText text;
  std::shared_ptr<exec::maps::Map> map;
  std::vector<uint8_t> key, next_key, value;
  bool first = true;
  uint64_t left;  // keys that may still be looked at
};

MapWalk::MapWalk(std::unique_ptr<State> state) : state_(std::move(state)) {}
MapWalk::MapWalk(MapWalk&&) noexcept = default;
MapWalk& MapWalk::operator=(MapWalk&&) noexcept = default;
MapWalk::~MapWalk() = default;

Result<MapWalk> MapWalk::begin(const ObjectMap& map) {
  XNIC_ASSIGN(MapText text, MapText::make(map));
  const auto& spec = map.map->spec();
  std::vector<uint8_t> key(spec.key_size);
  // The key after one that is gone is the first: a walk of a busy map could go on for ever.
  const uint64_t keys = key.empty() ? 0 : spec.max_entries;
  return MapWalk(std::make_unique<State>(
      State{std::move(text), map.map, key, key, std::vector<uint8_t>(map.map->host_value_bytes()), true, keys}));
}

ordered_json MapWalk::next(size_t count) {
  State& state = *state_;
  ordered_json list = ordered_json::array();
  while (list.size() < count && state.left > 0) {
    const void* previous = state.first ? nullptr : state.key.data();
    if (state.map->host_next_key(previous, state.next_key.data()) != 0) {
      state.left = 0;
      break;
    }
    --state.left;
    state.first = false;
    state.key.swap(state.next_key);
    // It may be gone again; it is left out then.
    if (state.map->host_lookup(state.key.data(), state.value.data(), 0) == 0)
      list.push_back(state.text.element(state.key, state.value));
  }
  return list;
}

Result<ordered_json> dump_map(const ObjectMap& map) {
  XNIC_ASSIGN(MapWalk walk, MapWalk::begin(map));
  return walk.next(SIZE_MAX);
}

Result<ordered_json> get_element(const ObjectMap& map, const ordered_json& key_json, const std::string& where) {
  XNIC_ASSIGN(const MapText text, MapText::make(map));
  XNIC_ASSIGN(const std::vector<uint8_t> key, text.read_key(key_json, where));
  std::vector<uint8_t> value(map.map->host_value_bytes());
  if (const int error = map.map->host_lookup(key.data(), value.data(), 0))
    return make_error(ErrorKind::kBadInput, where, "map '{}' has no such element: {}", map.name, std::strerror(-error));
  return text.element(key, value);
}

Result<void> erase_element(const ObjectMap& map, const ordered_json& key_json, const std::string& where) {
  XNIC_ASSIGN(const MapText text, MapText::make(map));
  XNIC_ASSIGN(const std::vector<uint8_t> key, text.read_key(key_json, where));
  if (const int error = map.map->host_erase(key.data()))
    return make_error(ErrorKind::kBadInput, where, "map '{}' does not delete it: {}", map.name, std::strerror(-error));
  return {};
}

Result<void> fill_map(const ObjectMap& map, const ordered_json& list, const std::string& where) {
  if (!list.is_array()) return make_error(ErrorKind::kBadInput, where, "needs a list of elements");
  XNIC_ASSIGN(const MapText text, MapText::make(map));
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = fmt::format("{}: element {}", where, i);
    std::vector<uint8_t> key(map.map->spec().key_size);
    std::vector<uint8_t> value(map.map->host_value_bytes());
    const bool formatted =
        list[i].is_object() && !list[i].contains("key") && !list[i].contains("value") && list[i].contains("formatted");
    XNIC_TRY(text.read_element(formatted ? list[i]["formatted"] : list[i], place, key, value));
    const int error = map.map->host_update(key.data(), value.data(), 0);
    if (error == 0) continue;
    return make_error(error == -E2BIG ? ErrorKind::kLimit : ErrorKind::kBadInput, place,
                      "map '{}' ({} entries at most) refuses it: {}", map.name, map.map->spec().max_entries,
                      std::strerror(-error));
  }
  return {};
}

Result<void> fill_global_data(const GlobalData& data, const ordered_json& json, const std::string& where) {
  if (data.btf.empty() || data.btf_value_type_id == 0) {
    return make_error(ErrorKind::kUnsupported, where, "the object has no types for {}", data.name);
  }
  XNIC_ASSIGN(const TypeTable types, TypeTable::parse(data.btf));
  // One element of a map dump, or the variables themselves.
  const bool element = json.is_array() && json.size() == 1 && json[0].is_object() && json[0].contains("value");
  const ordered_json& value =
      element ? (json[0].contains("formatted") ? json[0]["formatted"]["value"] : json[0]["value"]) : json;
  return types.merge_json(data.btf_value_type_id, value, data.value, where);
}

}  // namespace xnic::device
