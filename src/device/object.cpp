// SPDX-License-Identifier: Apache-2.0
// Loads ELF objects with libbpf through the door. Steps: pre-pass (elf_prepass.cpp), open, choose programs, put maps in
// order (sizes left open, pins, types the card lacks), load, collect. What the verifier said is taken from the device
// (load_report.hpp), since libbpf passes on no more than an errno.
//
// Which programs are XDP programs: those in sections that libbpf knows as XDP. Section names it does not know are taken
// as XDP too (fallback handler), because the field has hundreds of them; but when some section is called "xdp…", the
// unknown ones are left alone unless they are asked for by name.
#include "device/object.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "arch/ebpf/map_types.hpp"
#include "base/check.hpp"
#include "base/file.hpp"
#include "device/door.hpp"
#include "device/elf_prepass.hpp"
#include "device/load_report.hpp"
#include "device/loader_log.hpp"

namespace xnic::device {

using base::ErrorKind;
using base::make_error;
using base::Result;

struct Object::State {
  bpf_object* object = nullptr;
  std::vector<ObjectProgram> programs;
  std::vector<ObjectMap> maps;
  ~State() {
    if (object) bpf_object__close(object);
  }
};

namespace {

// libbpf replaces the reference to a map that was not created by a call of this "helper" plus the map's index.
constexpr int32_t kPoisonedMapBase = 2001000000;

// Programs of unknown sections are XDP programs; older names of the map-run kinds keep their meaning.
int setup_unknown_section(bpf_program* program, long) {
  std::string_view section = bpf_program__section_name(program);
  if (section.starts_with("xdp_devmap")) bpf_program__set_expected_attach_type(program, BPF_XDP_DEVMAP);
  if (section.starts_with("xdp_cpumap")) bpf_program__set_expected_attach_type(program, BPF_XDP_CPUMAP);
  return 0;
}

void register_section_fallback() {
  static std::once_flag once;
  std::call_once(once, [] {
    libbpf_prog_handler_opts options{};
    options.sz = sizeof options;
    options.prog_setup_fn = setup_unknown_section;
    libbpf_register_prog_handler(nullptr, BPF_PROG_TYPE_XDP, BPF_XDP, &options);
  });
}

bool is_internal(const bpf_map* map) { return bpf_map__is_internal(map); }

// ".rodata" of "object.rodata".
std::string map_name(const bpf_map* map) {
  std::string name = bpf_map__name(map);
  size_t dot = name.find('.');
  return is_internal(map) && dot != std::string::npos ? name.substr(dot) : name;
}

// libbpf puts the object's name in front of data map names and takes letters and digits only.
std::string object_name(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  name = name.substr(0, name.find('.'));
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') c = '_';
  return name.empty() ? "object" : name;
}

// max_entries with LoadOptions::complete_maps. Local storage stays at 0: that is its only right value.
uint32_t completed_entries(const bpf_map* map) {
  const uint32_t entries = bpf_map__max_entries(map);
  switch (const auto type = static_cast<arch::ebpf::MapType>(bpf_map__type(map))) {
    case arch::ebpf::kMapSkStorage:
    case arch::ebpf::kMapInodeStorage:
    case arch::ebpf::kMapTaskStorage:
    case arch::ebpf::kMapCgroupStorage:
    case arch::ebpf::kMapPercpuCgroupStorage:
    case arch::ebpf::kMapStructOps:
      return entries;
    default:
      if (entries == 0) return type == arch::ebpf::kMapRingbuf ? 4096 : 64;
      return entries > 1'000'000 ? 65'536 : entries;
  }
}

bool is_iproute2_tail(std::string_view section) {  // "2/1": program for slot 1 of the program array with id 2
  size_t slash = section.find('/');
  if (slash == 0 || slash == std::string_view::npos || slash + 1 == section.size()) return false;
  return std::all_of(section.begin(), section.end(), [](unsigned char c) { return std::isdigit(c) || c == '/'; });
}

class Loader {
 public:
  Loader(Device& device, std::string name, const LoadOptions& options)
      : device_(device), name_(std::move(name)), options_(options) {}

  Result<void> run(base::Bytes elf, Object::State& state);
  // The last PROG_LOAD that run() made, if it came that far.
  const std::optional<LoadReport>& last_report() const { return last_report_; }
  // Opens the object and lists the programs that run() would load, as (function, section).
  Result<std::vector<std::pair<std::string, std::string>>> list(base::Bytes elf, Object::State& state);

 private:
  Result<void> open(base::Bytes elf);
  Result<void> choose_programs();
  Result<void> complete_map(bpf_map* map);
  Result<void> prepare_maps();
  Result<void> prepare_global_data(bpf_map* map);
  Result<void> prepare_pin(bpf_map* map);
  Result<void> load();
  Result<void> pin_maps();
  Result<void> collect();
  base::Unexpected load_failed(int error, const LoadReports& reports);
  base::Unexpected rejected(const LoadReport& report);
  std::string place(const std::string& function) const;
  const bpf_program* find_program(const std::string& function) const;

  Device& device_;
  std::string name_;
  LoadOptions options_;
  LoaderLog log_;
  bpf_object* object_ = nullptr;  // owned by `state_`
  Object::State* state_ = nullptr;
  std::map<bpf_map*, std::string> pins_;     // maps to pin after the load
  std::map<std::string, std::string> logs_;  // verifier log by function
  std::optional<LoadReport> last_report_;
};

Result<void> Loader::open(base::Bytes elf) {
  register_section_fallback();
  std::string short_name = object_name(name_);
  bpf_object_open_opts options{};
  options.sz = sizeof options;
  options.object_name = short_name.c_str();
  object_ = bpf_object__open_mem(elf.data(), elf.size(), &options);
  if (!object_) {
    int error = errno;
    std::string why = log_.summary();
    return make_error(ErrorKind::kBadInput, name_, "{}", why.empty() ? std::strerror(error) : why.c_str());
  }
  state_->object = object_;
  return {};
}

Result<void> Loader::choose_programs() {
  bool any_named_xdp = false;
  bpf_program* program;
  std::string names;
  bpf_object__for_each_program(program, object_) {
    std::string_view section = bpf_program__section_name(program);
    any_named_xdp |= bpf_program__type(program) == BPF_PROG_TYPE_XDP && section.starts_with("xdp");
    names += names.empty() ? "" : ", ";
    names += bpf_program__name(program);
  }
  size_t chosen = 0;
  bpf_object__for_each_program(program, object_) {
    std::string_view section = bpf_program__section_name(program);
    bool wanted;
    if (!options_.program.empty()) {
      wanted = options_.program == bpf_program__name(program) || options_.program == section;
      if (wanted && bpf_program__type(program) != BPF_PROG_TYPE_XDP)
        return make_error(ErrorKind::kBadInput, name_, "'{}' in section '{}' is not an XDP program",
                          bpf_program__name(program), section);
    } else {
      wanted = bpf_program__type(program) == BPF_PROG_TYPE_XDP &&
               (!any_named_xdp || section.starts_with("xdp") || is_iproute2_tail(section));
    }
    bpf_program__set_autoload(program, wanted);
    chosen += wanted;
  }
  if (chosen > 0) return {};
  if (names.empty()) return make_error(ErrorKind::kBadInput, name_, "no program in this object");
  if (options_.program.empty())
    return make_error(ErrorKind::kBadInput, name_, "no XDP program in this object; it has: {}", names);
  return make_error(ErrorKind::kBadInput, name_, "no program '{}' in this object; it has: {}", options_.program, names);
}

Result<void> Loader::prepare_pin(bpf_map* map) {
  const char* path = bpf_map__pin_path(map);
  if (!path) return {};
  std::string pin = path;
  bpf_map__set_pin_path(map, nullptr);  // libbpf would ask the host's file system
  int fd = bpf_obj_get(pin.c_str());
  if (fd < 0) {
    pins_[map] = pin;
    return {};
  }
  auto present = device_.map(fd);
  bool fits =
      present && present->spec().type == bpf_map__type(map) && present->spec().key_size == bpf_map__key_size(map) &&
      present->spec().value_size == bpf_map__value_size(map) &&
      present->spec().max_entries == bpf_map__max_entries(map) && present->spec().flags == bpf_map__map_flags(map);
  int error = fits ? bpf_map__reuse_fd(map, fd) : 0;
  close(fd);
  if (!fits || error)
    return make_error(ErrorKind::kBadInput, name_, "map '{}' is pinned at {} already, with other sizes or flags",
                      map_name(map), pin);
  return {};
}

Result<void> Loader::prepare_global_data(bpf_map* map) {
  size_t bytes = 0;
  if (!is_internal(map) || !options_.set_global_data) return {};
  // libbpf's own memory until the load, handed out as const only because reading is the usual wish.
  auto* value = static_cast<uint8_t*>(const_cast<void*>(bpf_map__initial_value(map, &bytes)));
  if (!value) return {};
  uint32_t btf_bytes = 0;
  const btf* btf = bpf_object__btf(object_);
  const void* blob = btf ? btf__raw_data(btf, &btf_bytes) : nullptr;
  return options_.set_global_data(GlobalData{map_name(map), base::Bytes(static_cast<const uint8_t*>(blob), btf_bytes),
                                             bpf_map__btf_value_type_id(map), base::MutableBytes(value, bytes)});
}

// LoadOptions::complete_maps, for one map.
Result<void> Loader::complete_map(bpf_map* map) {
  const auto type = static_cast<arch::ebpf::MapType>(bpf_map__type(map));
  bpf_map__set_pin_path(map, nullptr);
  if (const uint32_t entries = completed_entries(map); entries != bpf_map__max_entries(map))
    bpf_map__set_max_entries(map, entries);
  if (type != arch::ebpf::kMapArrayOfMaps && type != arch::ebpf::kMapHashOfMaps) return {};
  const bpf_map* own = bpf_map__inner_map(map);
  if (own && completed_entries(own) == bpf_map__max_entries(own)) return {};
  // libbpf 1.1 crashes when the size of a template is set, so a map stands for a template of the wrong size.
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = own ? bpf_map__map_flags(own) : 0;
  const int inner = own ? bpf_map_create(bpf_map__type(own), "inner", bpf_map__key_size(own), bpf_map__value_size(own),
                                         completed_entries(own), &options)
                        : bpf_map_create(BPF_MAP_TYPE_ARRAY, "inner", 4, 4, 1, nullptr);
  if (inner >= 0 && bpf_map__set_inner_map_fd(map, inner) == 0) return {};  // the descriptor is libbpf's now
  const int error = errno;
  if (inner >= 0) close(inner);
  return make_error(ErrorKind::kUnsupported, name_, "no inner map for '{}': {}", map_name(map), std::strerror(error));
}

Result<void> Loader::prepare_maps() {
  bpf_map* map;
  bpf_object__for_each_map(map, object_) {
    if (options_.complete_maps) XNIC_TRY(complete_map(map));
    auto type = static_cast<arch::ebpf::MapType>(bpf_map__type(map));
    const auto* info = arch::ebpf::find_map_type(type);
    if (!info || !info->supported) {
      // Only an error if a program that is loaded refers to it; see rejected().
      bpf_map__set_autocreate(map, false);
      continue;
    }
    bool of_maps = type == arch::ebpf::kMapArrayOfMaps || type == arch::ebpf::kMapHashOfMaps;
    if (of_maps && !bpf_map__inner_map(map) && !options_.complete_maps)
      return make_error(ErrorKind::kUnsupported, name_,
                        "map '{}' ({}) does not say what its inner maps look like; add an inner map definition "
                        "(__array(values, struct {{…}})) to the object",
                        map_name(map), info->name);
    // Sizes left for the loader: one entry a processor, as the kernel's own samples set them. libbpf does it for perf
    // event arrays.
    if (bpf_map__max_entries(map) == 0 && type != arch::ebpf::kMapPerfEventArray)
      bpf_map__set_max_entries(map, static_cast<uint32_t>(libbpf_num_possible_cpus()));
    XNIC_TRY(prepare_global_data(map));
    XNIC_TRY(prepare_pin(map));
  }
  return {};
}

const bpf_program* Loader::find_program(const std::string& function) const {
  // The device knows at most 15 characters of the name.
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    std::string_view name = bpf_program__name(program);
    if (bpf_program__autoload(program) && name.substr(0, function.size()) == function) return program;
  }
  return nullptr;
}

std::string Loader::place(const std::string& function) const {
  const bpf_program* program = find_program(function);
  return program ? fmt::format("{}: section '{}', program '{}'", name_, bpf_program__section_name(program),
                               bpf_program__name(program))
                 : fmt::format("{}: program '{}'", name_, function);
}

base::Unexpected Loader::rejected(const LoadReport& report) {
  const auto& rejection = *report.rejection;
  using Kind = compile::verify::Rejection::Kind;
  ErrorKind kind = rejection.kind == Kind::kUnsupported                         ? ErrorKind::kUnsupported
                   : rejection.kind == Kind::kLimit || rejection.error == E2BIG ? ErrorKind::kLimit
                                                                                : ErrorKind::kBadInput;
  std::string where = fmt::format("{}, instruction {}", place(report.program), rejection.slot);
  const bpf_program* program = find_program(report.program);
  const bpf_insn* insns = program ? bpf_program__insns(program) : nullptr;
  if (insns && rejection.slot < bpf_program__insn_cnt(program)) {
    int32_t index = insns[rejection.slot].imm - kPoisonedMapBase;
    if (insns[rejection.slot].code == (BPF_JMP | BPF_CALL) && index >= 0) {
      const bpf_map* map = nullptr;
      for (int32_t i = 0; i <= index; ++i) map = bpf_object__next_map(object_, map);
      const auto* type = map ? arch::ebpf::find_map_type(bpf_map__type(map)) : nullptr;
      if (map)
        return make_error(ErrorKind::kUnsupported, where, "map '{}' has the type {}, which this card does not have{}{}",
                          map_name(map), type ? type->name : "unknown", type && !type->note.empty() ? ": " : "",
                          type ? type->note : "");
    }
  }
  std::string detail = rejection.reason;
  if (!rejection.source.empty()) detail += "\n  at " + rejection.source;
  if (!rejection.state.empty()) detail += "\n  registers: " + rejection.state;
  if (!rejection.advice.empty()) detail += "\n  " + rejection.advice;
  if (program && !std::string_view(bpf_program__section_name(program)).starts_with("xdp") && options_.program.empty())
    detail += fmt::format("\n  the section name '{}' does not say that this is an XDP program; choose one by name",
                          bpf_program__section_name(program));
  return make_error(kind, where, "{}", detail);
}

base::Unexpected Loader::load_failed(int error, const LoadReports& reports) {
  if (!reports.reports.empty() && reports.reports.back().error != 0) {
    const LoadReport& report = reports.reports.back();
    if (report.rejection) return rejected(report);
    if (!report.text.empty()) {
      const ErrorKind kind = report.error == E2BIG ? ErrorKind::kLimit : ErrorKind::kBadInput;
      return make_error(kind, place(report.program), "{}", report.text);
    }
  }
  std::string why = log_.summary();
  ErrorKind kind = error == ENOTSUP || error == 524 || error == EOPNOTSUPP ? ErrorKind::kUnsupported
                   : error == E2BIG || error == ENOMEM                     ? ErrorKind::kLimit
                                                                           : ErrorKind::kBadInput;
  return make_error(kind, name_, "{}", why.empty() ? std::strerror(error) : why.c_str());
}

Result<void> Loader::load() {
  LoadReports reports(options_.verifier_log ? 2 : 1);
  int result = bpf_object__load(object_);
  if (!reports.reports.empty()) last_report_ = reports.reports.back();
  if (result != 0) return load_failed(-result, reports);
  for (auto& report : reports.reports)
    if (report.error == 0) logs_[report.program] = std::move(report.log);
  return {};
}

Result<void> Loader::pin_maps() {
  for (const auto& [map, path] : pins_)
    if (int error = bpf_obj_pin(bpf_map__fd(map), path.c_str()))
      return make_error(ErrorKind::kIo, name_, "cannot pin map '{}' at {}: {}", map_name(map), path,
                        std::strerror(-error));
  return {};
}

Result<void> Loader::collect() {
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    if (!bpf_program__autoload(program)) continue;
    int fd = bpf_program__fd(program);
    auto loaded = device_.program(fd);
    CHECK(loaded != nullptr);
    std::string log;
    if (options_.verifier_log) log = logs_[loaded->program->name];
    state_->programs.push_back(
        {bpf_program__name(program), bpf_program__section_name(program), fd, std::move(loaded), std::move(log)});
  }
  bpf_map* map;
  bpf_object__for_each_map(map, object_) {
    if (!bpf_map__autocreate(map)) continue;
    int fd = bpf_map__fd(map);
    auto found = device_.map(fd);
    CHECK(found != nullptr);
    state_->maps.push_back(
        {map_name(map), fd, bpf_map__btf_key_type_id(map), bpf_map__btf_value_type_id(map), std::move(found)});
  }
  return {};
}

Result<void> Loader::run(base::Bytes elf, Object::State& state) {
  state_ = &state;
  DeviceForThread scope(device_);
  XNIC_ASSIGN(auto object, modernise_object(elf, name_));
  XNIC_TRY(open(object));
  XNIC_TRY(choose_programs());
  XNIC_TRY(prepare_maps());
  XNIC_TRY(load());
  XNIC_TRY(pin_maps());
  return collect();
}

Result<std::vector<std::pair<std::string, std::string>>> Loader::list(base::Bytes elf, Object::State& state) {
  state_ = &state;
  DeviceForThread scope(device_);
  XNIC_ASSIGN(auto object, modernise_object(elf, name_));
  XNIC_TRY(open(object));
  XNIC_TRY(choose_programs());
  std::vector<std::pair<std::string, std::string>> programs;
  bpf_program* program;
  bpf_object__for_each_program(program, object_) if (bpf_program__autoload(program))
      programs.emplace_back(bpf_program__name(program), bpf_program__section_name(program));
  return programs;
}

Result<std::vector<uint8_t>> read_object(const std::string& path) {
  XNIC_ASSIGN(auto bytes, base::read_file(path));
  if (bytes.empty()) return make_error(ErrorKind::kBadInput, path, "is empty");
  return bytes;
}

}  // namespace

Object::Object(std::unique_ptr<State> state) : state_(std::move(state)) {}
Object::Object(Object&&) noexcept = default;
Object& Object::operator=(Object&&) noexcept = default;
Object::~Object() = default;

Result<Object> Object::load_bytes(Device& device, base::Bytes elf, const std::string& name,
                                  const LoadOptions& options) {
  auto state = std::make_unique<State>();
  XNIC_TRY(Loader(device, name, options).run(elf, *state));
  return Object(std::move(state));
}

Result<Object> Object::load(Device& device, const std::string& path, const LoadOptions& options) {
  XNIC_ASSIGN(auto bytes, read_object(path));
  return load_bytes(device, bytes, path, options);
}

Result<std::vector<ProgramReport>> Object::check(Device& device, const std::string& path, const LoadOptions& options) {
  XNIC_ASSIGN(auto bytes, read_object(path));
  State opened;
  XNIC_ASSIGN(auto programs, Loader(device, path, options).list(bytes, opened));
  std::vector<ProgramReport> reports;
  for (const auto& [name, section] : programs) {
    LoadOptions alone = options;
    alone.program = name;
    State state;
    Loader loader(device, path, alone);
    auto loaded = loader.run(bytes, state);
    ProgramReport& report = reports.emplace_back();
    report.name = name;
    report.section = section;
    report.accepted = loaded.has_value();
    if (loaded) report.facts = state.programs.front().loaded->facts;
    if (!loaded) report.error = loaded.error();
    if (!loader.last_report()) continue;
    report.program = loader.last_report()->built;
    report.rejection = loader.last_report()->rejection;
    report.log = loader.last_report()->log;
  }
  return reports;
}

const std::vector<ObjectProgram>& Object::programs() const { return state_->programs; }
const std::vector<ObjectMap>& Object::maps() const { return state_->maps; }

const ObjectMap* Object::find_map(const std::string& name) const {
  for (const auto& map : state_->maps)
    if (map.name == name) return &map;
  return nullptr;
}

}  // namespace xnic::device
