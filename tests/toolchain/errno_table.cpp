// SPDX-License-Identifier: Apache-2.0
// The errors of bpf(2): each command, with each of its arguments wrong in each way that fits the argument, asked of the
// card and of the live kernel. The cases are made from a table of the commands' arguments. Differences have to stand in
// kKnown, with the reason; one that is listed and no longer there fails, too.
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "device/device.hpp"
#include "exec/kernel/bpf_call.hpp"

namespace xnic::tests::toolchain {
namespace {

using exec::kernel::Fd;
using Call = std::function<long(int, void*, uint32_t)>;

// Differences that stay. A case is named COMMAND/ARGUMENT/WRONG; a key is the beginning of a name.
constexpr const char* kBuckets =
    "how much of a hash map one batch reads depends on the kernel's buckets, and so on the seed of its hash";
const std::map<std::string, const char*> kKnown = {
    {"MAP_LOOKUP_BATCH.24/", kBuckets},
    {"MAP_LOOKUP_AND_DELETE_BATCH.25/", kBuckets},
    {"MAP_CREATE.0/map_type/0x7", "stack traces: a card has no stacks of processes"},
    {"MAP_CREATE.0/max_entries/0x7fffffff", "the card's hash table has another layout: it runs out of memory first"},
    {"MAP_CREATE.0/map_ifindex/", "the card's ports are there to be bound to; the kernel's interfaces offload no maps"},
    {"PROG_LOAD.5/prog_type/0x7", "the card loads XDP programs, and of others what libraries probe with"},
    {"PROG_LOAD.5/prog_ifindex/", "as with map_ifindex"},
    {"PROG_LOAD.5/attach_prog_fd/btf", "the card attaches to no programs, and does not look at the descriptor"},
    {"PROG_TEST_RUN.10/test.data_size_in/", "the card looks at the size before it reads"},
    {"PROG_TEST_RUN.10/test.flags/bit1", "live frames need ports, which a test run has not"},
    {"PROG.11/start_id/", "the kernel has programs of others"},
    {"PROG.13/start_id/", "ids are each side's own"},
    {"MAP.12/start_id/", "the kernel has maps of others"},
    {"MAP.14/start_id/", "ids are each side's own"},
    {"BTF.23/start_id/", "the kernel has BTF of its own"},
    {"BTF.19/start_id/", "ids are each side's own"},
};

enum class Is { kMap, kProgram, kBtf, kLink, kPointer, kOptionalPointer, kFlags, kNumber, kId };

struct Argument {
  const char* name;
  size_t offset;
  size_t size;
  Is is;
};
#define ARGUMENT(field, kind) \
  Argument { #field, offsetof(union bpf_attr, field), sizeof(std::declval<union bpf_attr>().field), Is::kind }

// What the cases use on one side.
struct Side {
  Call call;
  Fd hash, array, queue, program, btf, read_only, write_only, frozen;
  uint32_t map_id = 0, program_id = 0, btf_id = 0;
};

alignas(8) uint8_t g_key[64], g_value[256], g_packet[256], g_out[4096];
uint32_t g_token;
const uint64_t kPass[] = {0x00000002000000b4, 0x0000000000000095};  // w0 = 2; exit
struct {
  btf_header header{.magic = 0xeb9f,
                    .version = 1,
                    .flags = 0,
                    .hdr_len = 24,
                    .type_off = 0,
                    .type_len = 16,
                    .str_off = 16,
                    .str_len = 5};
  uint32_t type[4] = {1, 0x01000000, 4, 32};  // int of 32 bits
  char strings[5] = {0, 'i', 'n', 't', 0};
} g_btf;

template <class T>
uint64_t address(T* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

Fd make_map(const Call& call, uint32_t type, uint32_t flags) {
  bpf_attr attr{};
  attr.map_type = type;
  attr.key_size = type == BPF_MAP_TYPE_QUEUE ? 0 : 4;
  attr.value_size = 8;
  attr.max_entries = 4;
  attr.map_flags = flags;
  return Fd(static_cast<int>(call(BPF_MAP_CREATE, &attr, sizeof attr)));
}

template <class Info>
uint32_t id_of(const Call& call, const Fd& fd) {
  Info info{};
  bpf_attr attr{};
  attr.info.bpf_fd = static_cast<uint32_t>(fd.get());
  attr.info.info = address(&info);
  attr.info.info_len = sizeof info;
  call(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr);
  return info.id;
}

bpf_attr load_attr() {
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = address(kPass);
  attr.insn_cnt = 2;
  attr.license = address("GPL");
  return attr;
}

bpf_attr btf_attr() {
  bpf_attr attr{};
  attr.btf = address(&g_btf);
  attr.btf_size = 24 + 16 + 5;
  return attr;
}

Side make_side(Call call) {
  Side side;
  side.call = std::move(call);
  side.hash = make_map(side.call, BPF_MAP_TYPE_HASH, 0);
  side.array = make_map(side.call, BPF_MAP_TYPE_ARRAY, 0);
  side.queue = make_map(side.call, BPF_MAP_TYPE_QUEUE, 0);
  side.read_only = make_map(side.call, BPF_MAP_TYPE_HASH, BPF_F_RDONLY);
  side.write_only = make_map(side.call, BPF_MAP_TYPE_HASH, BPF_F_WRONLY);
  side.frozen = make_map(side.call, BPF_MAP_TYPE_HASH, 0);
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(side.frozen.get());
  side.call(BPF_MAP_FREEZE, &attr, sizeof attr);
  attr = load_attr();
  side.program = Fd(static_cast<int>(side.call(BPF_PROG_LOAD, &attr, sizeof attr)));
  attr = btf_attr();
  side.btf = Fd(static_cast<int>(side.call(BPF_BTF_LOAD, &attr, sizeof attr)));
  side.map_id = id_of<bpf_map_info>(side.call, side.hash);
  side.program_id = id_of<bpf_prog_info>(side.call, side.program);
  side.btf_id = id_of<bpf_btf_info>(side.call, side.btf);
  return side;
}

// One command: what a good call looks like, its arguments, and where they end.
struct Command {
  const char* name;
  int number;
  std::function<bpf_attr(const Side&)> good;
  std::vector<Argument> arguments;
  size_t end;
};

bpf_attr element(const Side& side) {
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(side.hash.get());
  attr.key = address(g_key);
  attr.value = address(g_value);
  return attr;
}

bpf_attr batch(const Side& side) {
  bpf_attr attr{};
  attr.batch.map_fd = static_cast<uint32_t>(side.hash.get());
  attr.batch.out_batch = address(&g_token);
  attr.batch.keys = address(g_key);
  attr.batch.values = address(g_value);
  attr.batch.count = 2;
  return attr;
}

bpf_attr by_id(uint32_t id) {
  bpf_attr attr{};
  attr.start_id = id;
  return attr;
}

#define END(field) (offsetof(union bpf_attr, field) + sizeof(std::declval<union bpf_attr>().field))

std::vector<Command> element_commands() {
  const std::vector<Argument> arguments = {ARGUMENT(map_fd, kMap), ARGUMENT(key, kPointer), ARGUMENT(value, kPointer),
                                           ARGUMENT(flags, kFlags)};
  const std::vector<Argument> key_only = {ARGUMENT(map_fd, kMap), ARGUMENT(key, kPointer)};
  const std::vector<Argument> next = {ARGUMENT(map_fd, kMap), ARGUMENT(key, kOptionalPointer),
                                      ARGUMENT(next_key, kPointer)};
  const std::vector<Argument> batches = {
      ARGUMENT(batch.map_fd, kMap),        ARGUMENT(batch.in_batch, kOptionalPointer),
      ARGUMENT(batch.out_batch, kPointer), ARGUMENT(batch.keys, kPointer),
      ARGUMENT(batch.values, kPointer),    ARGUMENT(batch.count, kNumber),
      ARGUMENT(batch.elem_flags, kFlags),  ARGUMENT(batch.flags, kFlags)};
  return {{"MAP_UPDATE_ELEM", BPF_MAP_UPDATE_ELEM, element, arguments, END(flags)},
          {"MAP_LOOKUP_ELEM", BPF_MAP_LOOKUP_ELEM, element, arguments, END(flags)},
          {"MAP_GET_NEXT_KEY", BPF_MAP_GET_NEXT_KEY, element, next, END(next_key)},
          {"MAP_UPDATE_BATCH", BPF_MAP_UPDATE_BATCH, batch, batches, END(batch.flags)},
          {"MAP_LOOKUP_BATCH", BPF_MAP_LOOKUP_BATCH, batch, batches, END(batch.flags)},
          {"MAP_DELETE_BATCH", BPF_MAP_DELETE_BATCH, batch, batches, END(batch.flags)},
          {"MAP_LOOKUP_AND_DELETE_BATCH", BPF_MAP_LOOKUP_AND_DELETE_BATCH, batch, batches, END(batch.flags)},
          {"MAP_LOOKUP_AND_DELETE_ELEM", BPF_MAP_LOOKUP_AND_DELETE_ELEM, element, arguments, END(flags)},
          {"MAP_DELETE_ELEM", BPF_MAP_DELETE_ELEM, element, key_only, END(key)},
          {"MAP_FREEZE",
           BPF_MAP_FREEZE,
           [](const Side& side) {
             bpf_attr attr{};
             attr.map_fd = static_cast<uint32_t>(side.queue.get());
             return attr;
           },
           {ARGUMENT(map_fd, kMap)},
           END(map_fd)}};
}

std::vector<Command> creating_commands() {
  const auto map_create = [](const Side&) {
    bpf_attr attr{};
    attr.map_type = BPF_MAP_TYPE_HASH;
    attr.key_size = 4;
    attr.value_size = 8;
    attr.max_entries = 4;
    return attr;
  };
  return {{"MAP_CREATE",
           BPF_MAP_CREATE,
           map_create,
           {ARGUMENT(map_type, kNumber), ARGUMENT(key_size, kNumber), ARGUMENT(value_size, kNumber),
            ARGUMENT(max_entries, kNumber), ARGUMENT(map_flags, kFlags), ARGUMENT(inner_map_fd, kMap),
            ARGUMENT(numa_node, kNumber), ARGUMENT(map_ifindex, kNumber), ARGUMENT(btf_fd, kBtf),
            ARGUMENT(btf_key_type_id, kNumber), ARGUMENT(btf_value_type_id, kNumber),
            ARGUMENT(btf_vmlinux_value_type_id, kNumber), ARGUMENT(map_extra, kNumber)},
           END(map_extra)},
          {"BTF_LOAD",
           BPF_BTF_LOAD,
           [](const Side&) { return btf_attr(); },
           {ARGUMENT(btf, kPointer), ARGUMENT(btf_size, kNumber), ARGUMENT(btf_log_size, kNumber),
            ARGUMENT(btf_log_level, kNumber), ARGUMENT(btf_log_buf, kOptionalPointer)},
           END(btf_log_level)}};
}

std::vector<Command> program_commands() {
  const auto test_run = [](const Side& side) {
    bpf_attr attr{};
    attr.test.prog_fd = static_cast<uint32_t>(side.program.get());
    attr.test.data_in = address(g_packet);
    attr.test.data_size_in = 64;
    attr.test.repeat = 1;
    return attr;
  };
  return {{"PROG_LOAD",
           BPF_PROG_LOAD,
           [](const Side&) { return load_attr(); },
           {ARGUMENT(prog_type, kNumber), ARGUMENT(insn_cnt, kNumber), ARGUMENT(insns, kPointer),
            ARGUMENT(license, kPointer), ARGUMENT(log_level, kNumber), ARGUMENT(log_size, kNumber),
            ARGUMENT(log_buf, kOptionalPointer), ARGUMENT(prog_flags, kFlags), ARGUMENT(prog_ifindex, kNumber),
            ARGUMENT(expected_attach_type, kNumber), ARGUMENT(func_info_rec_size, kNumber),
            ARGUMENT(func_info_cnt, kNumber), ARGUMENT(line_info_cnt, kNumber), ARGUMENT(attach_btf_id, kNumber),
            ARGUMENT(attach_prog_fd, kProgram), ARGUMENT(core_relo_cnt, kNumber)},
           END(core_relo_rec_size)},
          {"PROG_TEST_RUN",
           BPF_PROG_TEST_RUN,
           test_run,
           {ARGUMENT(test.prog_fd, kProgram), ARGUMENT(test.data_size_in, kNumber), ARGUMENT(test.data_in, kPointer),
            ARGUMENT(test.data_out, kOptionalPointer), ARGUMENT(test.ctx_size_in, kNumber),
            ARGUMENT(test.ctx_in, kOptionalPointer), ARGUMENT(test.ctx_out, kOptionalPointer),
            ARGUMENT(test.flags, kFlags), ARGUMENT(test.cpu, kNumber)},
           END(test.batch_size)},
          {"PROG_BIND_MAP",
           BPF_PROG_BIND_MAP,
           [](const Side& side) {
             bpf_attr attr{};
             attr.prog_bind_map.prog_fd = static_cast<uint32_t>(side.program.get());
             attr.prog_bind_map.map_fd = static_cast<uint32_t>(side.hash.get());
             return attr;
           },
           {ARGUMENT(prog_bind_map.prog_fd, kProgram), ARGUMENT(prog_bind_map.map_fd, kMap),
            ARGUMENT(prog_bind_map.flags, kFlags)},
           END(prog_bind_map.flags)}};
}

std::vector<Command> naming_commands() {
  const auto info = [](const Side& side) {
    bpf_attr attr{};
    attr.info.bpf_fd = static_cast<uint32_t>(side.hash.get());
    attr.info.info = address(g_out);
    attr.info.info_len = sizeof(bpf_map_info);
    std::memset(g_out, 0, sizeof g_out);
    return attr;
  };
  return {{"OBJ_GET_INFO_BY_FD",
           BPF_OBJ_GET_INFO_BY_FD,
           info,
           {ARGUMENT(info.bpf_fd, kMap), ARGUMENT(info.info_len, kNumber), ARGUMENT(info.info, kPointer)},
           END(info.info)},
          {"OBJ_PIN",
           BPF_OBJ_PIN,
           [](const Side&) {
             bpf_attr attr{};
             attr.pathname = address("");
             attr.bpf_fd = ~0u;
             return attr;
           },
           {ARGUMENT(bpf_fd, kMap), ARGUMENT(pathname, kPointer), ARGUMENT(file_flags, kFlags)},
           END(file_flags)},
          {"OBJ_GET",
           BPF_OBJ_GET,
           [](const Side&) {
             bpf_attr attr{};
             attr.pathname = address("/sys/fs/bpf/xnic/there/is/nothing");
             return attr;
           },
           {ARGUMENT(bpf_fd, kNumber), ARGUMENT(pathname, kPointer), ARGUMENT(file_flags, kFlags)},
           END(file_flags)},
          {"LINK_UPDATE",
           BPF_LINK_UPDATE,
           [](const Side&) { return bpf_attr{}; },
           {ARGUMENT(link_update.link_fd, kLink), ARGUMENT(link_update.flags, kFlags)},
           END(link_update.old_prog_fd)},
          {"LINK_DETACH",
           BPF_LINK_DETACH,
           [](const Side&) { return bpf_attr{}; },
           {ARGUMENT(link_detach.link_fd, kLink)},
           END(link_detach.link_fd)},
          {"ENABLE_STATS",
           BPF_ENABLE_STATS,
           [](const Side&) { return bpf_attr{}; },
           {ARGUMENT(enable_stats.type, kNumber)},
           END(enable_stats.type)}};
}

std::vector<Command> id_commands() {
  std::vector<Command> commands;
  const struct {
    const char* name;
    int next, get;
    uint32_t Side::* id;
  } kinds[] = {{"PROG", BPF_PROG_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, &Side::program_id},
               {"MAP", BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, &Side::map_id},
               {"BTF", BPF_BTF_GET_NEXT_ID, BPF_BTF_GET_FD_BY_ID, &Side::btf_id}};
  for (const auto& kind : kinds) {
    commands.push_back(
        {kind.name, kind.next, [](const Side&) { return by_id(0); }, {ARGUMENT(start_id, kId)}, END(next_id)});
    commands.push_back({kind.name,
                        kind.get,
                        [id = kind.id](const Side& side) { return by_id(side.*id); },
                        {ARGUMENT(start_id, kId), ARGUMENT(next_id, kNumber), ARGUMENT(open_flags, kFlags)},
                        END(open_flags)});
  }
  return commands;
}

struct Wrong {
  std::string name;
  std::function<uint64_t(const Side&)> value;
};

// The ways in which an argument can be wrong.
std::vector<Wrong> wrongs(const Argument& argument) {
  std::vector<Wrong> all;
  const auto constant = [&](std::string name, uint64_t value) {
    all.push_back({std::move(name), [value](const Side&) { return value; }});
  };
  const auto object = [&](const char* name, Fd Side::* fd) {
    all.push_back(
        {name, [fd](const Side& side) { return static_cast<uint64_t>(static_cast<uint32_t>((side.*fd).get())); }});
  };
  switch (argument.is) {
    case Is::kMap:
    case Is::kProgram:
    case Is::kBtf:
    case Is::kLink:
      constant("-1", 0xffffffff);
      constant("closed", 9999);
      constant("stdin", 0);
      object("hash", &Side::hash);
      object("array", &Side::array);
      object("queue", &Side::queue);
      object("read_only", &Side::read_only);
      object("write_only", &Side::write_only);
      object("frozen", &Side::frozen);
      object("program", &Side::program);
      object("btf", &Side::btf);
      break;
    case Is::kPointer:
    case Is::kOptionalPointer:
      constant("null", 0);
      constant("wild", 16);
      constant("kernel", 0xffff888000000000);
      constant("top", ~uint64_t{0});
      break;
    case Is::kFlags:
      for (int bit = 0; bit < static_cast<int>(argument.size * 8); bit += bit < 8 ? 1 : 5)
        constant(fmt::format("bit{}", bit), uint64_t{1} << bit);
      constant("all", ~uint64_t{0});
      break;
    case Is::kNumber:
    case Is::kId:
      for (const uint64_t value : {0ull, 1ull, 2ull, 3ull, 7ull, 13ull, 255ull, 4096ull, 0x7fffffffull, 0xffffffffull})
        constant(fmt::format("{:#x}", value), value);
      break;
  }
  return all;
}

struct Case {
  std::string name;
  int command;
  uint32_t size = sizeof(bpf_attr);
  std::function<bpf_attr(const Side&)> attr;
};

std::vector<Case> make_cases() {
  std::vector<Case> cases;
  std::vector<Command> commands = element_commands();
  for (const auto& more : {creating_commands(), program_commands(), naming_commands(), id_commands()})
    commands.insert(commands.end(), more.begin(), more.end());
  for (const Command& command : commands) {
    const std::string name = fmt::format("{}.{}", command.name, command.number);
    cases.push_back({name + "/good", command.number, sizeof(bpf_attr), command.good});
    for (const Argument& argument : command.arguments)
      for (const Wrong& wrong : wrongs(argument))
        cases.push_back({fmt::format("{}/{}/{}", name, argument.name, wrong.name), command.number, sizeof(bpf_attr),
                         [=](const Side& side) {
                           bpf_attr attr = command.good(side);
                           const uint64_t value = wrong.value(side);
                           std::memcpy(reinterpret_cast<char*>(&attr) + argument.offset, &value, argument.size);
                           return attr;
                         }});
    // Something behind the last argument.
    if (command.end < sizeof(bpf_attr) - 8)
      cases.push_back({name + "/behind", command.number, sizeof(bpf_attr), [=](const Side& side) {
                         bpf_attr attr = command.good(side);
                         reinterpret_cast<char*>(&attr)[sizeof attr - 4] = 1;
                         return attr;
                       }});
    for (const uint32_t size : {0u, 4u, 4097u})
      cases.push_back({fmt::format("{}/size/{}", name, size), command.number, size, command.good});
  }
  for (const int command : {-1, 1000})
    cases.push_back(
        {fmt::format("unknown.{}", command), command, sizeof(bpf_attr), [](const Side&) { return bpf_attr{}; }});
  return cases;
}

// 0 or the positive errno; what was made is closed.
int ask(const Side& side, const Case& one) {
  std::memset(g_key, 0, sizeof g_key);
  g_key[0] = 1;
  g_token = 0;
  struct {
    bpf_attr attr;
    char behind[4200];
  } room{one.attr(side), {}};
  const long result = side.call(one.command, &room.attr, one.size);
  if (result < 0) return static_cast<int>(-result);
  switch (one.command) {
    case BPF_MAP_CREATE:
    case BPF_PROG_LOAD:
    case BPF_BTF_LOAD:
    case BPF_ENABLE_STATS:
    case BPF_PROG_GET_FD_BY_ID:
    case BPF_MAP_GET_FD_BY_ID:
    case BPF_BTF_GET_FD_BY_ID:
      close(static_cast<int>(result));
  }
  return 0;
}

std::string error_name(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : fmt::format("{}", error);  // 524 is ENOTSUPP, which user space has no name for
}

const char* reason(const std::string& name) {
  for (const auto& [prefix, why] : kKnown)
    if (name.starts_with(prefix)) return why;
  return nullptr;
}

int run() {
  const Side kernel = make_side([](int command, void* attr, uint32_t size) {
    return exec::kernel::kernel_call(321, command, static_cast<long>(reinterpret_cast<uint64_t>(attr)), size);
  });
  if (kernel.program.get() < 0 || kernel.hash.get() < 0) {
    fmt::print("bpf(2) of this kernel needs rights that this process does not have (root): nothing to compare with\n");
    return 77;
  }
  device::Device device;
  const Side card = make_side([&device](int command, void* attr, uint32_t size) {
    return device.bpf(command, static_cast<bpf_attr*>(attr), size);
  });
  size_t equal = 0, listed = 0, unlisted = 0;
  std::map<std::string, int> used;
  const std::vector<Case> cases = make_cases();
  for (const Case& one : cases) {
    const int ours = ask(card, one), theirs = ask(kernel, one);
    if (ours == theirs) {
      ++equal;
    } else if (reason(one.name) != nullptr) {
      ++listed;
      for (const auto& [prefix, why] : kKnown)
        if (one.name.starts_with(prefix)) ++used[prefix];
    } else {
      ++unlisted;
      fmt::print("{}: card {}, kernel {}\n", one.name, error_name(ours), error_name(theirs));
    }
  }
  // Which ids there are depends on the machine, and where elements lie on chance.
  for (const auto& [prefix, why] : kKnown)
    if (!used.contains(prefix) && prefix.find("start_id") == std::string::npos && why != kBuckets) {
      fmt::print("{}: listed as different ({}), and is not\n", prefix, why);
      ++unlisted;
    }
  fmt::print("{} cases: {} equal, {} listed differences, {} others\n", cases.size(), equal, listed, unlisted);
  return unlisted == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests::toolchain

int main() { return xnic::tests::toolchain::run(); }
