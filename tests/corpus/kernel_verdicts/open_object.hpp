// SPDX-License-Identifier: Apache-2.0
// The one place where an object file becomes a bpf_object. Objects in a form that libbpf no longer takes are refused
// here; whoever can convert them replaces the body of open_object, and nothing else changes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"

struct bpf_object;
struct bpf_program;

namespace xnic::corpus {

using base::Result;

struct CloseObject {
  void operator()(bpf_object* object) const;
};
using ObjectPtr = std::unique_ptr<bpf_object, CloseObject>;

// Keeps what libbpf has to say (instead of printing it) from here on. Call once in a process, before anything else of
// this file.
void keep_libbpf_words();

// The last `count` lines libbpf said at warning level, oldest first.
std::vector<std::string> last_libbpf_words(size_t count);

// Opens the ELF file at `path` without any call of the kernel. Error: unsupported, with libbpf's errno and last words
// as the detail.
Result<ObjectPtr> open_object(const std::string& path);

// Makes the object loadable on a machine that is not its own: no pin paths, sizes that were to be set by its own loader
// (0) set to 64, sizes over a million cut to 65536, an inner map of u32 where a map of maps has no template.
// Pre: not loaded. Error: io, when the template map cannot be made.
Result<void> adapt_maps(bpf_object* object);

// Leaves `program` alone to be loaded: as XDP if its section's name says nothing to libbpf, else with the attach type
// and flags that the name stands for. Pre: not loaded. The result belongs to the object. Error: bad input when there is
// no such program.
Result<bpf_program*> select_program(bpf_object* object, const std::string& program);

}  // namespace xnic::corpus
