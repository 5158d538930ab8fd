// SPDX-License-Identifier: Apache-2.0
// `xnic up` and `xnic down`. up is to the daemon what systemd would be: a notify socket tells that it is ready, its end
// before that tells that it failed, and its log tells why.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "nic/control/client.hpp"
#include "nic/control/config.hpp"
#include "xnic/command.hpp"
#include "xnic/daemon.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using base::Result;
using exec::kernel::Fd;
using nlohmann::ordered_json;

namespace {

constexpr int kReadyMs = 60'000;  // programs may have to be compiled
constexpr int kStopMs = 15'000;

// The daemon that was installed or built with this program.
std::string daemon_path() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "xnicd").string();
}

// A socket that no file stands for; `name` is what NOTIFY_SOCKET says.
Result<Fd> notify_socket(std::string& name) {
  Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name = fmt::format("@xnic-up-{}", getpid());
  std::copy(name.begin() + 1, name.end(), address.sun_path + 1);
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (fd.get() < 0 || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), bytes) != 0)
    return make_error(ErrorKind::kIo, "xnic up", "cannot make a socket: {}", std::strerror(errno));
  return fd;
}

[[noreturn]] void become_daemon(const std::string& path, const std::string& file, int log, const std::string& notify) {
  setsid();
  const int null = open("/dev/null", O_RDWR);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  setenv("NOTIFY_SOCKET", notify.c_str(), 1);
  execl(path.c_str(), path.c_str(), "--config", file.c_str(), nullptr);
  dprintf(STDERR_FILENO, "cannot run %s: %s\n", path.c_str(), std::strerror(errno));
  _exit(127);
}

// What the log says from `offset` on, its last line without time.
std::string last_words(const std::string& log, size_t offset) {
  const auto text = base::read_file(log);
  if (!text || text->size() <= offset) return "it said nothing";
  std::string words(text->begin() + static_cast<ptrdiff_t>(offset), text->end());
  while (!words.empty() && words.back() == '\n') words.pop_back();
  words.erase(0, words.rfind('\n') + 1);
  const size_t level = words.find("critical: ");
  return level == words.npos ? words : words.substr(level + 10);
}

Result<pid_t> start(const DaemonOptions& options, const nic::control::Config& config) {
  const std::string log = options.log.empty() ? config.card.control + ".log" : options.log;
  const auto folder = std::filesystem::path(log).parent_path();
  std::error_code ignored;  // the open below tells
  if (!folder.empty()) std::filesystem::create_directory(folder, ignored);
  const Fd out(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (out.get() < 0) return make_error(ErrorKind::kIo, log, "cannot write the log: {}", std::strerror(errno));
  const auto offset = static_cast<size_t>(lseek(out.get(), 0, SEEK_END));
  std::string name;
  XNIC_ASSIGN(const Fd notify, notify_socket(name));
  const std::string path = daemon_path();
  const pid_t child = fork();
  if (child < 0) return make_error(ErrorKind::kIo, "xnic up", "cannot fork: {}", std::strerror(errno));
  if (child == 0) become_daemon(path, options.file, out.get(), name);
  for (int waited = 0; waited < kReadyMs; waited += 50) {
    pollfd in{notify.get(), POLLIN, 0};
    char text[64] = "";
    if (poll(&in, 1, 50) > 0 && recv(notify.get(), text, sizeof text - 1, 0) > 0 && std::strstr(text, "READY=1"))
      return child;
    int status = 0;
    if (waitpid(child, &status, WNOHANG) != child) continue;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    const ErrorKind kind = code == kExitBadInput      ? ErrorKind::kBadInput
                           : code == kExitUnsupported ? ErrorKind::kLimit
                                                      : ErrorKind::kIo;
    return make_error(kind, "xnicd", "{} (log: {})", last_words(log, offset), log);
  }
  kill(child, SIGTERM);
  return make_error(ErrorKind::kIo, "xnicd", "was not ready within {} s and was stopped; see {}", kReadyMs / 1000, log);
}

}  // namespace

std::string socket_of(const DaemonOptions& options) {
  if (!options.socket.empty()) return options.socket;
  const char* from_environment = getenv("XNIC_SOCKET");
  return from_environment != nullptr && *from_environment != 0 ? from_environment : nic::control::kDefaultSocket;
}

Result<ordered_json> ask(const DaemonOptions& options, const ordered_json& request, Result<std::vector<uint8_t>> blob) {
  if (!blob) return base::Unexpected(std::move(blob.error()));
  XNIC_ASSIGN(nic::control::Client client, nic::control::Client::connect(socket_of(options)));
  return client.call(request, *blob);
}

int done(const Result<ordered_json>& reply) { return reply ? int{kExitOk} : report(reply.error()); }

const volatile int& until_interrupted() {
  static volatile int interrupted = 0;
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int one : {SIGINT, SIGTERM}) sigaction(one, &action, nullptr);
  return interrupted;
}

int up(const DaemonOptions& options) {
  const auto config = nic::control::read_config(options.file);
  if (!config) return report(config.error());
  if (!options.socket.empty() && options.socket != config->card.control)
    return report({ErrorKind::kBadInput, "--socket", "the configuration says where the socket is: [card] control"});
  const auto child = start(options, *config);
  if (!child) return report(child.error());
  std::printf("xnicd runs as process %d, control socket %s\n", *child, config->card.control.c_str());
  return kExitOk;
}

int down(const DaemonOptions& options) {
  auto client = nic::control::Client::connect(socket_of(options));
  if (!client) return report(client.error());
  if (const auto reply = client->call({{"request", "stop"}}); !reply) return report(reply.error());
  // The daemon removes its lock last of all.
  const std::string lock = socket_of(options) + ".lock";
  for (int waited = 0; waited < kStopMs; waited += 10) {
    if (access(lock.c_str(), F_OK) != 0) return kExitOk;
    usleep(10'000);
  }
  return report({ErrorKind::kIo, "xnicd", "has not stopped within 15 s: see its log"});
}

}  // namespace xnic::tools
