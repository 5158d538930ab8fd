// SPDX-License-Identifier: Apache-2.0
// What several workers do to the maps they share: the contents that any order leaves, and whether there is one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "prepared.hpp"

namespace xnic::tests {

// A program's maps with what its maps of maps hold, in an order that is the same for every copy of the program.
struct SharedMap {
  exec::maps::Map* map;
  std::optional<arch::ebpf::MapIndex> index;  // nothing: an inner map
};
std::vector<SharedMap> shared_maps(const exec::LoadedProgram& program);

// Whether the program touches the values of this map by atomic additions alone, whose results it does not look at.
bool only_adds(const exec::LoadedProgram& program, arch::ebpf::MapIndex map);

// Keys and values as strings of bytes.
using MapContents = std::unordered_map<std::string, std::string>;
MapContents map_contents(exec::maps::Map& map);

// What became of a map since `before`: the new value of every entry that changed, nothing for those that are gone.
using MapChanges = std::map<std::string, std::optional<std::string>>;
MapChanges changes_since(const MapContents& before, exec::maps::Map& map);

struct Merged {
  MapChanges changes;
  bool met = false;  // two workers changed the same word, or made or removed the same entry
};
// What each worker alone changed, put together: every word changes by the sum of the changes, entries are there that
// any worker made, and gone that any worker removed.
Merged merge(const MapContents& before, const std::vector<MapChanges>& alone);

// The first entries that differ; empty when none does.
std::string difference(const MapChanges& expected, const MapChanges& found);

}  // namespace xnic::tests
