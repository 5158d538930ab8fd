// SPDX-License-Identifier: Apache-2.0
// xnicd: the card as a daemon. Its life: read the configuration; take the lock and the socket; load programs; drop the
// rights that ports do not need; open ports and attach programs; start the workers; serve requests until a signal or a
// request to stop; drain; close. Whatever the kernel holds for it hangs on descriptors, so a killed daemon leaves
// nothing but a socket file, which the next one replaces.
#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <optional>

#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "nic/control/service.hpp"
#include "nic/door/door.hpp"
#include "nic/door/netlink.hpp"
#include "xnicd/metrics.hpp"
#include "xnicd/sandbox.hpp"

namespace xnic::tools {
namespace {

using nic::control::Config;
using nic::control::Level;
using nic::control::Service;

int stop_event = -1;  // for the signal handler

void on_signal(int) {
  const int saved = errno;
  eventfd_write(stop_event, 1);
  errno = saved;
}

int fail(const base::Error& error) {
  spdlog::critical("{}", error.message());
  return error.kind == base::ErrorKind::kBadInput ? 2 : error.kind == base::ErrorKind::kIo ? 4 : 3;
}

// The journal has its own clock and wants the priority in front; people want both in words.
void set_up_log(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("xnicd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace);
  logger->set_pattern(getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
  spdlog::set_default_logger(std::move(logger));
}

void write_log(Level level, const std::string& text) {
  constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                   spdlog::level::err};
  spdlog::log(kLevels[static_cast<size_t>(level)], "{}", text);
}

// Tells who started the daemon how it stands: systemd, or xnic up (sd_notify(3): a datagram to $NOTIFY_SOCKET).
void notify(const char* state) {
  const char* path = getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::min(strlen(path), sizeof address.sun_path - 1);
  std::copy_n(path, length, address.sun_path);
  if (path[0] == '@') address.sun_path[0] = 0;  // an abstract name
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  sendto(fd, state, strlen(state), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), bytes);
  close(fd);
}

base::Result<void> drop_rights(const Config& config) {
  if (!config.card.sandbox) {
    spdlog::warn("[card] sandbox is false: all privileges are kept");
    return {};
  }
  XNIC_ASSIGN(const std::string kept, drop_capabilities());
  XNIC_TRY(enter_seccomp());
  spdlog::info("capabilities kept: {}", kept);
  return {};
}

base::Result<void> live(const Config& config) {
  XNIC_ASSIGN(nic::control::Endpoint endpoint,
              nic::control::Endpoint::open(config.card.control, config.card.control_mode, config.card.control_group));
  XNIC_ASSIGN(const std::unique_ptr<Service> service, Service::create(config, write_log));
  nic::door::Netlink network(service->device(), [&service] { return service->facts(); });
  XNIC_ASSIGN(const std::unique_ptr<nic::door::Door> door,
              nic::door::Door::open({.path = config.card.control + device::remote::kSocketSuffix,
                                     .mode = config.card.control_mode,
                                     .group = config.card.control_group}));
  XNIC_TRY(service->load_programs());
  XNIC_TRY(drop_rights(config));  // before ports: some have threads
  XNIC_TRY(service->open());
  service->run();
  door->serve(service->device(), network);
  std::optional<Metrics> metrics;
  if (!config.card.metrics.empty()) {
    XNIC_ASSIGN(metrics, Metrics::serve(config.card.metrics, [&service] { return service->stats(); }));
    spdlog::info("metrics at http://{}/metrics", config.card.metrics);
  }
  spdlog::info("ready: process {}, {} ports, control socket {}", getpid(), config.ports.size(), config.card.control);
  notify("READY=1");
  {
    const auto handle = [&service](const nic::control::Message& message, const nic::control::Peer& peer) {
      return service->handle(message, peer);
    };
    nic::control::Server server(endpoint, handle);
    server.serve(stop_event, [&service] {
      service->tick();
      if (service->stop_wanted()) eventfd_write(stop_event, 1);
    });
  }
  notify("STOPPING=1");
  metrics.reset();
  if (service->stop())
    spdlog::info("stopped: every packet is out");
  else
    spdlog::warn("stopped with packets under way: a port did not take them in time");
  return {};
}

int serve(const std::string& file) {
  const auto config = nic::control::read_config(file);
  if (!config) return fail(config.error());
  set_up_log(config->card.log_level);
  stop_event = eventfd(0, EFD_CLOEXEC);
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaction(signal, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGIO, SIG_IGN);  // somebody opens a handle at the moment when the device looks whether it is held
  raise_limits();
  device::install_native();
  device::install_hxdp();
  const auto lived = live(*config);
  return lived ? 0 : fail(lived.error());
}

int check_config(const std::string& file) {
  const auto config = nic::control::read_config(file);
  if (!config) {
    std::fprintf(stderr, "xnicd: error: %s\n", config.error().message().c_str());
    return config.error().kind == base::ErrorKind::kIo ? 4 : 2;
  }
  std::printf("%s: good, %zu ports\n", file.c_str(), config->ports.size());
  return 0;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"xnicd: a network card made of software, as a daemon"};
  std::string config, checked;
  CLI::Option* serve_it = app.add_option("--config", config, "Configuration (docs/operations.md); runs until SIGTERM");
  app.add_option("--check-config", checked, "Only say whether this configuration is right")->excludes(serve_it);
  app.footer(
      "Exit codes: 0 done; 2 wrong use or configuration; 3 unsupported, over a limit, or served already; 4 I/O error.\n"
      "Examples:\n  xnicd --check-config /etc/xnic/card.toml\n  xnicd --config /etc/xnic/card.toml");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!checked.empty()) return check_config(checked);
  if (!config.empty()) return serve(config);
  std::fprintf(stderr, "xnicd: error: needs --config FILE or --check-config FILE: see --help\n");
  return 2;
}

}  // namespace
}  // namespace xnic::tools

int main(int argc, char** argv) { return xnic::tools::parse_and_run(argc, argv); }
