// SPDX-License-Identifier: Apache-2.0
// PROG_LOAD and PROG_BIND_MAP. The order: check attributes, copy everything in, build the Program, verify it, write the
// log, publish. Programs of other types than XDP are taken only in the forms libraries use to find out what the kernel
// can do (they never touch their context); nothing on the card runs them.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/map_types.hpp"
#include "device/load_report.hpp"
#include "device/program_build.hpp"
#include "device/state.hpp"

namespace xnic::device {
namespace {

namespace ebpf = arch::ebpf;
namespace verify = compile::verify;

// Fields and flags that came after the uapi header of Debian 12 (Linux 6.1).
constexpr size_t kLogTrueSizeOffset = 140;        // u32 log_true_size, 6.4
constexpr uint32_t kXdpDevBoundOnly = 1u << 6;    // BPF_F_XDP_DEV_BOUND_ONLY, 6.3
constexpr uint32_t kTestRegInvariants = 1u << 7;  // BPF_F_TEST_REG_INVARIANTS, 6.8
constexpr uint32_t kLogFixed = 8;                 // BPF_LOG_FIXED: keep the beginning, not the end
constexpr uint32_t kKnownFlags = BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_STATE_FREQ |
                                 BPF_F_TEST_RND_HI32 | BPF_F_XDP_HAS_FRAGS | kXdpDevBoundOnly | kTestRegInvariants;
constexpr size_t kMaxLicense = 128;
constexpr uint32_t kMaxRecordBytes = 252;  // of func_info and line_info, kernel MAX_FUNCINFO_REC_SIZE

thread_local LoadReports* t_reports = nullptr;

bool is_probe_type(uint32_t type) {
  return type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_TRACEPOINT ||
         type == BPF_PROG_TYPE_SCHED_CLS || type == BPF_PROG_TYPE_CGROUP_SOCK || type == BPF_PROG_TYPE_CGROUP_SKB;
}

int check_attributes(const Command& command) {
  const auto& attr = command.attr;
  if (attr.prog_flags & ~kKnownFlags) return -EINVAL;
  if (attr.insn_cnt == 0 || attr.insn_cnt > ebpf::kMaxInsns) return -E2BIG;
  if (attr.log_level & ~(1u | 2u | 4u | kLogFixed)) return -EINVAL;
  if ((attr.log_buf != 0) != (attr.log_size != 0)) return -EINVAL;
  if (attr.log_buf && attr.log_level == 0) return -EINVAL;
  if (attr.log_size > (UINT32_MAX >> 2)) return -EINVAL;
  if (attr.attach_prog_fd != 0 || attr.attach_btf_id != 0) return -EINVAL;  // tracing and extension programs only
  // Relocated by the loader, as libbpf does for objects. Without BTF nobody looks at them.
  if (attr.core_relo_cnt != 0 && (attr.func_info_cnt != 0 || attr.line_info_cnt != 0)) return -EINVAL;
  if (attr.prog_type == BPF_PROG_TYPE_XDP) {
    if (attr.prog_ifindex != 0 && !command.state.ports.exists(attr.prog_ifindex)) return -EINVAL;
    return 0;
  }
  if (attr.prog_ifindex != 0 || (attr.prog_flags & (BPF_F_XDP_HAS_FRAGS | kXdpDevBoundOnly))) return -EINVAL;
  return is_probe_type(attr.prog_type) ? 0 : -EINVAL;
}

// A program that is too long is refused before anything of it is read; the loader shall be able to say so.
void report_length(const bpf_attr& attr) {
  if (!t_reports || attr.prog_type != BPF_PROG_TYPE_XDP || attr.insn_cnt <= ebpf::kMaxInsns) return;
  LoadReport report;
  report.program.assign(attr.prog_name, strnlen(attr.prog_name, sizeof attr.prog_name));
  report.error = E2BIG;
  report.text =
      fmt::format("the program has {} instructions, but at most {} are allowed", attr.insn_cnt, ebpf::kMaxInsns);
  t_reports->reports.push_back(std::move(report));
}

// Copies one of func_info and line_info. Bytes of a record that we don't know must be zero.
int read_table(const Command& command, uint64_t address, uint32_t count, uint32_t rec_size, uint32_t known,
               std::vector<uint8_t>& table) {
  if (count == 0) return 0;
  if (rec_size < known || rec_size > kMaxRecordBytes || rec_size % 4 != 0) return -EINVAL;
  if (count > ebpf::kMaxInsns) return -EINVAL;
  table.resize(size_t{count} * rec_size);
  if (int error = command.caller.read(address, table.data(), table.size())) return error;
  for (size_t record = 0; record < count; ++record)
    for (size_t i = known; i < rec_size; ++i)
      if (table[record * rec_size + i] != 0) return -E2BIG;
  return 0;
}

int read_input(const Command& command, LoadInput& input) {
  const auto& attr = command.attr;
  if (int error = command.caller.read_string(attr.license, kMaxLicense, input.license)) return error;
  input.insns.resize(attr.insn_cnt);
  if (int error = command.caller.read(attr.insns, input.insns.data(), input.insns.size() * sizeof input.insns[0]))
    return error;
  if (int error = check_object_name(attr.prog_name, sizeof attr.prog_name, input.name)) return error;
  if (attr.func_info_cnt == 0 && attr.line_info_cnt == 0) return 0;
  if (int error = command.object(static_cast<int>(attr.prog_btf_fd), ObjectKind::kBtf, input.btf)) return error;
  auto& tables = input.tables;
  auto blob = input.btf->btf->blob();
  tables.btf.assign(blob.begin(), blob.end());
  tables.func_info_rec_size = attr.func_info_rec_size;
  tables.line_info_rec_size = attr.line_info_rec_size;
  if (int error = read_table(command, attr.func_info, attr.func_info_cnt, attr.func_info_rec_size,
                             sizeof(bpf_func_info), tables.func_info))
    return error;
  return read_table(command, attr.line_info, attr.line_info_cnt, attr.line_info_rec_size, sizeof(bpf_line_info),
                    tables.line_info);
}

// Values of frozen, read-only array maps are constants to the verifier.
class FrozenMaps final : public verify::Environment {
 public:
  explicit FrozenMaps(const std::vector<std::shared_ptr<MapObject>>& maps) : maps_(maps) {}
  const uint8_t* frozen_value(ebpf::MapIndex index) const override {
    auto& map = *maps_.at(index)->map;
    bool constant = map.frozen() && (map.spec().flags & ebpf::kRdonlyProg) && map.spec().type == ebpf::kMapArray;
    return constant ? map.values_base() : nullptr;
  }

 private:
  const std::vector<std::shared_ptr<MapObject>>& maps_;
};

// True if an instruction uses the context, which the verifier has taken for that of XDP.
bool touches_context(const ebpf::Program& program, const ebpf::Facts& facts) {
  for (size_t slot = 0; slot < program.insns.size(); ++slot) {
    const auto& state = facts.insns[slot];
    if (!state.reached) continue;
    auto holds = [&](ebpf::Reg reg) { return state.regs[index(reg)].type == ebpf::RegType::kContext; };
    bool uses =
        std::visit(ebpf::Overloaded{[&](const ebpf::Load& load) { return holds(load.src); },
                                    [&](const ebpf::Store& store) { return holds(store.dst); },
                                    [&](const ebpf::Atomic& atomic) { return holds(atomic.dst); },
                                    [&](const ebpf::CallHelper&) {
                                      return holds(ebpf::Reg::kR1) || holds(ebpf::Reg::kR2) || holds(ebpf::Reg::kR3) ||
                                             holds(ebpf::Reg::kR4);
                                    },
                                    [](const ebpf::LoadPacket&) { return true; }, [](const auto&) { return false; }},
                   program.insns[slot]);
    if (uses) return true;
  }
  return false;
}

// Writes the log to the caller. 0, -ENOSPC when it does not fit (the end is kept, or the beginning with kLogFixed),
// -EFAULT.
int write_log(const Command& command, const std::string& log) {
  const auto& attr = command.attr;
  uint32_t true_size = attr.log_level == 0 ? 0 : static_cast<uint32_t>(log.size()) + 1;
  if (int error = command.put(kLogTrueSizeOffset, true_size)) return error;
  if (!attr.log_buf) return 0;
  size_t kept = std::min<size_t>(log.size(), attr.log_size - 1);
  size_t from = (attr.log_level & kLogFixed) ? 0 : log.size() - kept;
  if (int error = command.caller.write(attr.log_buf, log.data() + from, kept)) return error;
  char end = 0;
  if (int error = command.caller.write(attr.log_buf + kept, &end, 1)) return error;
  return true_size > attr.log_size ? -ENOSPC : 0;
}

// Verifies the program of `object`; fills its facts. 0 or -errno, with the log.
int verify_program(const Command& command, ProgramObject& object, const std::vector<std::shared_ptr<MapObject>>& maps,
                   LoadReport& report) {
  verify::Options options;
  int wanted = static_cast<int>(command.attr.log_level);
  if (t_reports) wanted = std::max(wanted, t_reports->log_level);
  options.log_level = (wanted & 2) ? 2 : (wanted & 1);
  FrozenMaps environment(maps);
  verify::Outcome outcome = verify::verify(*object.loaded.program, environment, options);
  report.log = std::move(outcome.log);
  if (!outcome.accepted) {
    report.error = outcome.rejection.error ? outcome.rejection.error : EINVAL;
    report.rejection = std::move(outcome.rejection);
    return -report.error;
  }
  if (command.attr.prog_type != BPF_PROG_TYPE_XDP && touches_context(*object.loaded.program, outcome.facts)) {
    report.error = EINVAL;
    report.text = "this card runs XDP programs only; other types are taken when they do not use their context";
    report.log += report.text + "\n";
    return -EINVAL;
  }
  if ((wanted & 4) && report.log.find("processed ") == std::string::npos)
    report.log += fmt::format("processed {} insns\n", outcome.facts.visited_insns);
  object.loaded.facts = std::make_shared<const ebpf::Facts>(std::move(outcome.facts));
  return 0;
}

long load_copied(Command& command, LoadInput& input, LoadReport& report) {
  const auto& attr = command.attr;
  auto object = std::make_shared<ProgramObject>();
  object->uid = command.caller.uid();
  std::vector<std::shared_ptr<MapObject>> maps;
  LoadFailure failure;
  object->type = attr.prog_type;
  object->btf = input.btf;
  object->tag = program_tag(input.insns);
  object->loaded.program = build_program(command, input, maps, failure);
  report.built = object->loaded.program;
  long result = 0;
  if (!object->loaded.program) {
    report.error = failure.error;
    report.text = failure.text;
    report.log = failure.text + "\n";
    result = -failure.error;
  } else {
    result = verify_program(command, *object, maps, report);
  }
  if (int error = write_log(command, report.log)) result = error;
  if (result < 0) return result;

  for (const auto& map : maps) {
    object->loaded.maps.push_back(map_ref(map));
    object->loaded.map_ids.push_back(map->id);
  }
  object->ifindex = attr.prog_ifindex;
  object->bound_only = attr.prog_ifindex != 0 && (attr.prog_flags & kXdpDevBoundOnly) != 0;
  object->load_time_ns = command.state.clock->monotonic_ns();
  if (int error = command.state.objects.make_handle(*object, "xnic-prog")) return error;
  object->id = object->loaded.id = command.state.objects.allocate_id(ObjectKind::kProgram);
  int fd = command.state.objects.publish(object, Access::kReadWrite);
  return fd < 0 ? fd : command.caller.give(fd);
}

}  // namespace

LoadReports::LoadReports(int level) : log_level(level), previous_(std::exchange(t_reports, this)) {}
LoadReports::~LoadReports() { t_reports = previous_; }
LoadReports* LoadReports::current() { return t_reports; }

long program_load(Command& command) {
  LoadInput input;
  if (int error = check_attributes(command)) {
    report_length(command.attr);
    return error;
  }
  if (int error = read_input(command, input)) return error;
  LoadReport report;
  report.program = input.name;
  long result = load_copied(command, input, report);
  if (t_reports && command.attr.prog_type == BPF_PROG_TYPE_XDP) {
    report.error = result < 0 ? static_cast<int>(-result) : 0;
    t_reports->reports.push_back(std::move(report));
  }
  return result;
}

long program_bind_map(Command& command) {
  const auto& attr = command.attr.prog_bind_map;
  if (!command.clean_after(XNIC_ATTR_END(prog_bind_map.flags)) || attr.flags != 0) return -EINVAL;
  std::shared_ptr<ProgramObject> program;
  std::shared_ptr<MapObject> map;
  if (int error = command.program(static_cast<int>(attr.prog_fd), program)) return error;
  if (int error = command.map(static_cast<int>(attr.map_fd), map)) return error;
  std::lock_guard lock(program->maps_mutex);
  const auto& ids = program->loaded.map_ids;
  bool used = std::find(ids.begin(), ids.end(), map->id) != ids.end() ||
              std::find(program->bound_maps.begin(), program->bound_maps.end(), map) != program->bound_maps.end();
  if (!used) program->bound_maps.push_back(std::move(map));
  return 0;
}

}  // namespace xnic::device
