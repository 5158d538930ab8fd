// SPDX-License-Identifier: Apache-2.0
// What is made is recorded first: /run/xnic/testnet/NET has a line with the options and one for each namespace with its
// inode (0 until it is complete). Only recorded namespaces are ever removed, and only while they are the same ones, so
// neither a user's namespace of the same name nor a half-made network is a problem. One command at a time (a lock).
#include "xnic/testnet.hpp"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "exec/kernel/bpf_call.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using exec::kernel::Fd;

namespace {

const std::filesystem::path kRecords = "/run/xnic/testnet";

std::string path_of(const std::string& space) { return "/run/netns/" + space; }

// 0: there is none.
uint64_t inode_of(const std::string& space) {
  struct stat status{};
  return stat(path_of(space).c_str(), &status) == 0 ? status.st_ino : 0;
}

struct Record {
  std::string id;
  std::vector<std::pair<std::string, uint64_t>> spaces;  // name, inode; 0: not known to be complete
};

std::optional<Record> read_record(const std::string& net) {
  std::ifstream file(kRecords / net);
  Record record;
  if (!std::getline(file, record.id)) return std::nullopt;
  std::string space;
  for (uint64_t inode = 0; file >> space >> inode;) record.spaces.emplace_back(space, inode);
  return record;
}

base::Result<void> write_record(const std::string& net, const Record& record) {
  std::ofstream file(kRecords / net, std::ios::trunc);
  file << record.id << '\n';
  for (const auto& [space, inode] : record.spaces) file << space << ' ' << inode << '\n';
  if (file.flush()) return {};
  return make_error(ErrorKind::kIo, (kRecords / net).string(), "cannot write: {}", std::strerror(errno));
}

// Root, and nobody else at work. The lock lasts as long as the descriptor.
base::Result<Fd> begin(const TestnetOptions& options) {
  if (geteuid() != 0)
    return make_error(ErrorKind::kIo, "testnet", "network namespaces need root; try: sudo xnic testnet ...");
  XNIC_TRY(plan_testnet(options));  // the name is one that can stand in a path
  std::error_code error;
  std::filesystem::create_directories(kRecords, error);
  Fd lock(open((kRecords / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0 || flock(lock.get(), LOCK_EX) != 0)
    return make_error(ErrorKind::kIo, kRecords.string(), "cannot lock: {}", std::strerror(errno));
  return lock;
}

// Runs `ip OPTIONS -batch -`. ip itself says on standard error what is wrong.
base::Result<void> ip(const std::string& options, const std::string& commands) {
  std::FILE* tool = popen(fmt::format("ip {} -batch -", options).c_str(), "w");
  if (tool == nullptr) return make_error(ErrorKind::kIo, "ip", "cannot start: {}", std::strerror(errno));
  std::fputs(commands.c_str(), tool);
  if (pclose(tool) == 0) return {};
  return make_error(ErrorKind::kIo, "ip " + options, "failed; is iproute2 installed, and does the kernel have veth?");
}

// Frames have to leave complete: the program sees them before any network card would finish checksums, segments and
// VLAN tags.
void take_work_from_hardware(const std::string& space, const std::string& interface) {
  std::thread([&] {
    const Fd there(open(path_of(space).c_str(), O_RDONLY | O_CLOEXEC));
    if (setns(there.get(), CLONE_NEWNET) != 0) return;
    const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
    for (const uint32_t what :
         {ETHTOOL_SGRO, ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_SSG, ETHTOOL_STXCSUM, ETHTOOL_SFLAGS}) {
      ethtool_value value{what, 0};
      request.ifr_data = reinterpret_cast<char*>(&value);
      ioctl(any.get(), SIOCETHTOOL, &request);
    }
  }).join();
}

// Removes what the record says, as far as it is still that.
base::Result<void> remove(const std::string& net, const Record& record) {
  std::string commands;
  for (const auto& [space, inode] : record.spaces) {
    const uint64_t now = inode_of(space);
    if (now == 0 || (inode != 0 && now != inode)) continue;
    commands += "netns del " + space + "\n";
    // A process in the namespace would keep it, and the links, alive without a name.
    if (!space.ends_with("-card")) continue;
    std::string links;
    for (const auto& [other, unused] : record.spaces)
      if (other != space) links += "link del dev " + other.substr(net.size() + 1) + "\n";
    (void)ip("-force -n " + space + " 2>/dev/null", links);
  }
  if (!commands.empty()) XNIC_TRY(ip("", commands));
  std::filesystem::remove(kRecords / net);
  return {};
}

base::Result<void> build(const TestnetPlan& plan, const std::string& net) {
  Record record{plan.id, {}};
  std::string namespaces;
  for (const std::string& space : plan.spaces()) {
    if (inode_of(space) != 0)
      return make_error(ErrorKind::kBadInput, space,
                        "this namespace exists and is not of `xnic testnet`; choose another --net");
    record.spaces.emplace_back(space, 0);
    namespaces += "netns add " + space + "\n";
  }
  XNIC_TRY(write_record(net, record));
  XNIC_TRY(ip("", namespaces));
  XNIC_TRY(ip("", plan.links));
  XNIC_TRY(ip("-n " + plan.card_space, plan.card_commands));
  for (const TestnetPlan::Host& host : plan.hosts) {
    XNIC_TRY(ip("-n " + host.space, host.commands));
    take_work_from_hardware(host.space, "eth0");
    take_work_from_hardware(plan.card_space, host.name);
  }
  for (auto& [space, inode] : record.spaces) inode = inode_of(space);
  return write_record(net, record);
}

bool is_up(const Record& record) {
  for (const auto& [space, inode] : record.spaces)
    if (inode == 0 || inode_of(space) != inode) return false;
  return true;
}

base::Result<void> up(const TestnetOptions& options) {
  XNIC_ASSIGN(const Fd lock, begin(options));
  XNIC_ASSIGN(const TestnetPlan plan, plan_testnet(options));
  if (const auto record = read_record(options.net)) {
    if (is_up(*record)) {
      if (record->id == plan.id) return {};
      return make_error(ErrorKind::kBadInput, options.net, "is up with other options ({}); take it down first",
                        record->id);
    }
    XNIC_TRY(remove(options.net, *record));
  }
  auto built = build(plan, options.net);
  if (!built)
    if (const auto record = read_record(options.net)) (void)remove(options.net, *record);
  return built;
}

base::Result<void> become(const TestnetOptions& options) {
  if (geteuid() != 0)
    return make_error(ErrorKind::kIo, "testnet", "network namespaces need root; try: sudo xnic testnet ...");
  XNIC_TRY(plan_testnet(options));  // the name is one that can stand in a path
  const auto record = read_record(options.net);
  const std::string space = options.net + "-" + options.where;
  const bool known = record && std::ranges::any_of(record->spaces, [&](const auto& it) { return it.first == space; });
  // Only the network namespace changes: /sys/fs/bpf and all mounts stay, which `ip netns exec` would hide.
  const Fd there(known ? open(path_of(space).c_str(), O_RDONLY | O_CLOEXEC) : -1);
  if (there.get() < 0)
    return make_error(ErrorKind::kBadInput, options.where, "is no host of the network {}; see `xnic testnet up`",
                      options.net);
  if (setns(there.get(), CLONE_NEWNET) != 0)
    return make_error(ErrorKind::kIo, space, "cannot enter: {}", std::strerror(errno));
  std::vector<char*> arguments;
  for (const std::string& argument : options.command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  return make_error(ErrorKind::kBadInput, options.command[0], "cannot run: {}", std::strerror(errno));
}

}  // namespace

int testnet_up(const TestnetOptions& options) {
  if (auto result = up(options); !result) return report(result.error());
  const TestnetPlan plan = *plan_testnet(options);
  fmt::print("{:<12} {:<16} {:<18} {}\n", "host", "card interface", "MAC address", "addresses");
  for (size_t i = 0; i < plan.hosts.size(); ++i) {
    const TestnetPlan::Host& host = plan.hosts[i];
    std::string addresses;
    for (const std::string& address : host.addresses) addresses += (addresses.empty() ? "" : " ") + address;
    fmt::print("{:<12} {:<16} 02:77:00:00:00:{:02x}  {}\n", host.name, host.name, i + 1, addresses);
  }
  fmt::print("The card's interfaces are in the namespace {}: xnic testnet exec --net {} card ip link\n",
             plan.card_space, options.net);
  return kExitOk;
}

int testnet_down(const TestnetOptions& options) {
  const auto down = [&]() -> base::Result<bool> {
    XNIC_ASSIGN(const Fd lock, begin(options));
    const auto record = read_record(options.net);
    if (record) XNIC_TRY(remove(options.net, *record));
    return record.has_value();
  };
  auto removed = down();
  if (!removed) return report(removed.error());
  fmt::print("{}\n", *removed ? "removed" : "nothing to remove");
  return kExitOk;
}

int testnet_exec(const TestnetOptions& options) { return report(become(options).error()); }

}  // namespace xnic::tools
