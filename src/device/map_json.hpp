// SPDX-License-Identifier: Apache-2.0
// Whole maps as JSON in the form of `bpftool map dump --json`: a list of {"key", "value"} with bytes as "0x…" strings
// and, where the object has BTF, "formatted" with typed values; per-CPU maps have "values": [{"cpu", "value"}].
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "base/result.hpp"
#include "device/object.hpp"

namespace xnic::device {

// Every element of the map, in the map's own order. Maps that can't be walked (queues, ring buffers, …) give an empty
// list. Errors: kBadInput when the object's BTF does not fit the map.
base::Result<nlohmann::ordered_json> dump_map(const ObjectMap& map);

// The same a piece at a time, for maps of any size while they are in use.
class MapWalk {
 public:
  // Errors: as dump_map.
  static base::Result<MapWalk> begin(const ObjectMap& map);
  MapWalk(MapWalk&&) noexcept;
  MapWalk& operator=(MapWalk&&) noexcept;
  ~MapWalk();
  // At most `count` further elements as a list; an empty one is the end. A map whose elements come and go meanwhile may
  // show one twice or not at all, but the walk ends.
  nlohmann::ordered_json next(size_t count);

 private:
  struct State;
  explicit MapWalk(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One element, by its key as fill_map takes keys. Errors: kBadInput (not a key of this map, no such element).
base::Result<nlohmann::ordered_json> get_element(const ObjectMap& map, const nlohmann::ordered_json& key,
                                                 const std::string& where);
base::Result<void> erase_element(const ObjectMap& map, const nlohmann::ordered_json& key, const std::string& where);

// Updates the map from such a list. Keys and values may be byte lists, typed values, or stand under "formatted";
// without BTF, numbers are taken as integers of the key's or value's size. Errors: kBadInput naming the element and
// member, kLimit when the map is full.
base::Result<void> fill_map(const ObjectMap& map, const nlohmann::ordered_json& list, const std::string& where);

// Sets global data before the load: `json` is such a list with one element, or what bpftool prints as the value of the
// section: [{"variable": value}, …]. Variables that are not named keep their values. Errors as above.
base::Result<void> fill_global_data(const GlobalData& data, const nlohmann::ordered_json& json,
                                    const std::string& where);

}  // namespace xnic::device
