// SPDX-License-Identifier: Apache-2.0
// As kernel_verdicts/ask.cpp: a forked child answers through a pipe, as JSON text, so that no program can harm the
// others' answers. Invariant: one child at a time, always waited for.
#include "corpus/compare/card.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "device/object.hpp"
#include "diff/paired_run.hpp"

namespace xnic::corpus {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CardAnswer, status, kind, reason, load_ms, packets, different, skipped, differences)

namespace {

constexpr unsigned kSecondsAtMost = 120;

std::string kind_name(compile::verify::Rejection::Kind kind) {
  using Kind = compile::verify::Rejection::Kind;
  switch (kind) {
    case Kind::kMemory:
      return "memory";
    case Kind::kType:
      return "type";
    case Kind::kTermination:
      return "termination";
    case Kind::kStructure:
      return "structure";
    case Kind::kReference:
      return "reference";
    case Kind::kUnsupported:
      return "unsupported";
    case Kind::kLimit:
      return "limit";
  }
  CHECK(false);
}

void explain(device::Device& device, const std::string& path, const device::LoadOptions& options, CardAnswer& answer) {
  answer.status = "rejected";
  answer.kind = "object";
  const auto reports = device::Object::check(device, path, options);
  if (!reports) {
    answer.reason = reports.error().message();
    return;
  }
  const device::ProgramReport& report = reports->front();
  if (report.rejection) {
    answer.kind = kind_name(report.rejection->kind);
    answer.reason = report.rejection->reason;
  } else if (report.error) {
    answer.reason = report.error->detail;
  }
}

CardAnswer answer(const std::string& path, const std::string& program, uint64_t packets, uint64_t seed) {
  CardAnswer answer;
  device::Device device;
  device::install_device(&device);
  device::LoadOptions options;
  options.program = program;
  options.complete_maps = true;
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  auto ours = device::Object::load(device, path, options);
  answer.load_ms = uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count());
  if (!ours) {
    explain(device, path, options, answer);
    return answer;
  }
  answer.status = "accepted";
  if (packets == 0) return answer;
  auto theirs = device::Object::load(device, path, options);
  CHECK(theirs.has_value());
  tests::PairedOptions paired;
  paired.packets = packets;
  paired.seed = seed;
  const auto run = tests::run_paired(ours->programs().at(0).loaded, theirs->programs().at(0).loaded, paired);
  answer.packets = run.packets;
  answer.different = run.different;
  answer.skipped = run.skipped;
  answer.differences = run.differences;
  return answer;
}

[[noreturn]] void answer_and_leave(int pipe_end, const std::string& path, const std::string& program, uint64_t packets,
                                   uint64_t seed) {
  alarm(kSecondsAtMost);
  const std::string text = nlohmann::json(answer(path, program, packets, seed))
                               .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  for (size_t sent = 0; sent < text.size();) {
    const ssize_t n = write(pipe_end, text.data() + sent, text.size() - sent);
    if (n <= 0) _exit(1);
    sent += static_cast<size_t>(n);
  }
  _exit(0);
}

}  // namespace

CardAnswer ask_card(const std::string& path, const std::string& program, uint64_t packets, uint64_t seed) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(ends[0]);
    answer_and_leave(ends[1], path, program, packets, seed);
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;) text.append(part, static_cast<size_t>(n));
  close(ends[0]);
  int how = 0;
  CHECK(waitpid(child, &how, 0) == child);
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return nlohmann::json::parse(text).get<CardAnswer>();
  CardAnswer answer;
  answer.status = "crashed";
  answer.kind = "crashed";
  answer.reason = WIFSIGNALED(how) && WTERMSIG(how) == SIGALRM ? "took over two minutes"
                                                               : "signal " + std::to_string(WTERMSIG(how));
  return answer;
}

}  // namespace xnic::corpus
