// SPDX-License-Identifier: Apache-2.0
// Runs xnic and collects all that comes out of it.
#pragma once

#include <string>
#include <vector>

namespace xnic::tests::cli {

struct Finished {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string out;
  std::string err;
};

struct Command {
  std::vector<std::string> arguments;  // after the program's name
  std::string input = {};              // for standard input
  bool as_nobody = false;              // with root: as user and group nobody
  bool terminal = false;               // standard error is a terminal
};

// Runs the xnic of this build to its end. Pre: the process may fork. Aborts if a descriptor can't be made.
Finished run(const Command& command);
inline Finished run(std::vector<std::string> arguments) { return run(Command{.arguments = std::move(arguments)}); }

// A folder of this process's own, removed at its end; files in it can be read by everyone.
std::string scratch(const std::string& file);
void write_file(const std::string& path, const std::string& bytes);
std::string read_file(const std::string& path);

// Objects of tests/cli/objects (NAME of NAME.bpf.c) and a capture of the repository.
std::string object(const std::string& name);
std::string trace();

}  // namespace xnic::tests::cli
