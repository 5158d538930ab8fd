// SPDX-License-Identifier: Apache-2.0
// fuzz_seeds OUT VECTORS OBJECT...: first inputs for the targets verifier and interp: the programs of the objects, the
// conformance vectors and random valid programs.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "../conformance/vectors.hpp"
#include "device/object.hpp"
#include "program_input.hpp"
#include "random_program.hpp"

namespace xnic::tests::fuzz {
namespace {

constexpr uint64_t kRandomPrograms = 300;

class Seeds {
 public:
  explicit Seeds(std::filesystem::path folder) : folder_(std::move(folder)) {}
  void add(const arch::ebpf::Program& program) {
    const std::vector<uint8_t> bytes = write_program(program, uint8_t(count_));
    if (bytes.empty()) return;
    std::ofstream(folder_ / ("seed-" + std::to_string(count_++)), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  }
  size_t count() const { return count_; }

 private:
  std::filesystem::path folder_;
  size_t count_ = 0;
};

int run(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: fuzz_seeds OUT VECTORS OBJECT...\n"), 2;
  Seeds seeds(argv[1]);
  device::Device device;
  for (int i = 3; i < argc; ++i) {
    const auto object = device::Object::load(device, argv[i]);
    if (!object) return std::fprintf(stderr, "%s\n", object.error().message().c_str()), 1;
    for (const auto& program : object->programs()) seeds.add(*program.loaded->program);
  }
  const auto vectors = conformance::read_vectors(argv[2]);
  if (!vectors) return std::fprintf(stderr, "%s\n", vectors.error().message().c_str()), 1;
  for (const auto& vector : *vectors) {
    arch::ebpf::Program program;
    program.raw = vector.program;
    seeds.add(program);
  }
  for (uint64_t seed = 1; seed <= kRandomPrograms; ++seed) {
    GeneratorOptions options;
    options.max_statements = uint32_t(3 + seed % 20);
    seeds.add(*random_program(seed, options));
  }
  std::printf("%zu seeds\n", seeds.count());
  return 0;
}

}  // namespace
}  // namespace xnic::tests::fuzz

int main(int argc, char** argv) { return xnic::tests::fuzz::run(argc, argv); }
