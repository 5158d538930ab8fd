// SPDX-License-Identifier: Apache-2.0
// xnic-digits: trains the network, and reads test images on the host and in the card.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "digits/card.hpp"

namespace xnic::apps::digits {
namespace {

struct TestOptions {
  std::string weights;
  std::string engine = "interp";
  std::string object;
  size_t images = 5000;
  uint64_t seed = 1000;
  bool json = false;
};

std::string default_object() {
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return (self.parent_path().parent_path() / "programs" / "digits.bpf.o").string();
}

base::Result<int> test(const TestOptions& options) {
  XNIC_ASSIGN(const FloatWeights weights, read_weights(options.weights));
  XNIC_ASSIGN(const FixedWeights fixed, quantise(weights));
  XNIC_ASSIGN(DigitsCard card,
              DigitsCard::open(options.object.empty() ? default_object() : options.object, options.engine));
  XNIC_TRY(card.use(fixed));
  const auto set = draw_set(options.images, Shapes::kAll, options.seed);
  std::vector<Image> images;
  for (const Sample& sample : set) images.push_back(sample.image);
  XNIC_ASSIGN(const auto readings, card.read(images));
  size_t by_float = 0, by_fixed = 0, by_card = 0, different = 0;
  for (size_t i = 0; i < set.size(); ++i) {
    const Reading host = read_fixed(fixed, images[i]);
    by_float += read_float(weights, images[i]) == set[i].digit;
    by_fixed += host.digit == set[i].digit;
    by_card += readings[i].digit == set[i].digit;
    different += !(host == readings[i]);
  }
  const auto percent = [&](size_t right) { return 100 * static_cast<double>(right) / static_cast<double>(set.size()); };
  if (options.json) {
    const nlohmann::ordered_json out = {{"images", set.size()},
                                        {"engine", options.engine},
                                        {"float_percent", percent(by_float)},
                                        {"fixed_percent", percent(by_fixed)},
                                        {"card_percent", percent(by_card)},
                                        {"different", different}};
    fmt::print("{}\n", out.dump(2));
  } else {
    fmt::print("{} images: {:.2f} % right in floating point, {:.2f} % in fixed point, {:.2f} % in the card ({})\n",
               set.size(), percent(by_float), percent(by_fixed), percent(by_card), options.engine);
    fmt::print("{} images read otherwise by card and host\n", different);
  }
  return different == 0 ? 0 : 1;
}

int finish(const base::Result<int>& result) {
  if (result) return *result;
  std::fprintf(stderr, "xnic-digits: error: %s\n", result.error().message().c_str());
  switch (result.error().kind) {
    case base::ErrorKind::kBadInput:
      return 2;
    case base::ErrorKind::kIo:
      return 4;
    default:
      return 3;
  }
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"xnic-digits: a small convolutional network that reads digits in the card (docs/digits.md)"};
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 card and host differ; 2 wrong use or bad input; 3 unsupported or over a limit; 4 I/O "
      "error.");
  TrainOptions train_options;
  std::string out;
  CLI::App* command = app.add_subcommand("train", "Draw digits, train, and write the weights");
  command->add_option("--out", out, "File of weights")->required();
  command->add_option("--images", train_options.images, "Images to train on")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--rounds", train_options.rounds, "Times over all of them")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--rate", train_options.rate, "Step at the start")->capture_default_str();
  command->add_option("--seed", train_options.seed, "Other images, other weights")->capture_default_str();
  command->footer("Example:\n  xnic-digits train --out weights.txt");
  TestOptions test_options;
  command = app.add_subcommand("test", "Read drawn digits in floating point, in fixed point and in the card");
  command->add_option("WEIGHTS", test_options.weights, "File of weights")->required();
  command->add_option("--engine", test_options.engine, "interp, native, hxdp, kernel")->capture_default_str();
  command->add_option("--object", test_options.object, "digits.bpf.o; default: that of this build");
  command->add_option("--images", test_options.images, "Images")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--seed", test_options.seed, "Other images; training uses 1")->capture_default_str();
  command->add_flag("--json", test_options.json, "Machine-readable output");
  command->footer("Example:\n  xnic-digits test apps/digits/data/weights.txt --engine hxdp");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  device::install_hxdp();
  device::install_native();
  if (app.got_subcommand("test")) return finish(test(test_options));
  const auto written = write_weights(train(train_options), out);
  return finish(written ? base::Result<int>(0) : base::Result<int>(base::Unexpected(written.error())));
}

}  // namespace
}  // namespace xnic::apps::digits

int main(int argc, char** argv) { return xnic::apps::digits::parse_and_run(argc, argv); }
