// SPDX-License-Identifier: Apache-2.0
// xnic-changepoint as a person meets it: exit codes, messages, files, and a live veth pair.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "changepoint/veth.hpp"
#include "nic/port/pcap.hpp"

namespace xnic::apps::changepoint {
namespace {

namespace fs = std::filesystem;

class ChangepointTool : public testing::Test {
 protected:
  ChangepointTool() {
    std::string name = fs::temp_directory_path() / "changepoint-XXXXXX";
    folder = mkdtemp(name.data());
  }
  ~ChangepointTool() override { fs::remove_all(folder); }
  std::string path(const std::string& file) const { return folder / file; }
  std::string read(const std::string& file) const {
    std::ostringstream text;
    text << std::ifstream(path(file)).rdbuf();
    return text.str();
  }
  void write(const std::string& file, const std::string& text) const { std::ofstream(path(file)) << text; }
  // Exit code; what it says stands in `out` and `err`.
  int run(const std::string& arguments) {
    const std::string command = XNIC_TOOL " " + arguments + " >" + path("out") + " 2>" + path("err");
    const int status = std::system(command.c_str());
    out = read("out"), err = read("err");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // 40 samples that jump in the middle.
  void write_series() const {
    std::string text = "day,price\n";
    for (int i = 0; i < 40; ++i) text += std::to_string(i) + "," + (i < 20 ? "10.00" : "12.00") + "\n";
    write("series.csv", text);
  }
  std::string series() const { return path("series.csv") + " --column price"; }
  int through_card(const std::string& form) {
    const std::string command = XNIC_XNIC " run " XNIC_PROGRAMS "/changepoint_" + form + ".bpf.o --in " + path("sent") +
                                " --out " + path("decided") + " >/dev/null 2>&1";
    return std::system(command.c_str());
  }
  fs::path folder;
  std::string out, err;
};

TEST_F(ChangepointTool, sends_and_checks_a_series) {
  write_series();
  for (const std::string form : {"fixed", "double"}) {
    ASSERT_EQ(run("send " + series() + " --form " + form + " --repeat 2 --out " + path("sent")), 0) << err;
    EXPECT_NE(err.find("40 samples (0 blank rows left out), 50 packets"), std::string::npos) << err;
    ASSERT_EQ(through_card(form), 0);
    ASSERT_EQ(run("recv --json --form " + form + " --in " + path("decided") + " --csv " + path("csv")), 0) << err;
    const auto json = nlohmann::json::parse(out);
    EXPECT_EQ(json["decisions"], 50);
    EXPECT_EQ(json["wrong"], 0);
    EXPECT_EQ(json["lost"], 0);
    EXPECT_GT(json["splits"], 0);
    EXPECT_EQ(read("csv").substr(0, 30), "number,tag,fixed,double\n0,2,2,");
  }
}

TEST_F(ChangepointTool, undecided_lost_and_double_packets_are_told) {
  write_series();
  ASSERT_EQ(run("send " + series() + " --out " + path("sent")), 0);
  EXPECT_EQ(run("recv --in " + path("sent")), 1);
  EXPECT_NE(out.find("25 undecided"), std::string::npos) << out;
  ASSERT_EQ(through_card("fixed"), 0);
  auto reader = nic::port::PcapReader::open(path("decided"));
  auto writer = nic::port::PcapngWriter::create(path("lossy"));
  for (int i = 0; i < 25; ++i) {
    const auto frame = reader->next();
    ASSERT_TRUE(frame && *frame);
    const int copies = i == 7 ? 0 : i == 9 ? 2 : 1;
    for (int k = 0; k < copies; ++k) ASSERT_TRUE(writer->write((*frame)->bytes, 0, {}, "").has_value());
  }
  ASSERT_TRUE(writer->close().has_value());
  EXPECT_EQ(run("recv --in " + path("lossy")), 1);
  EXPECT_NE(out.find("1 lost, 1 duplicates, 0 undecided"), std::string::npos) << out;
}

TEST_F(ChangepointTool, a_wrong_decision_is_found) {
  write_series();
  ASSERT_EQ(run("send " + series() + " --out " + path("sent")), 0);
  ASSERT_EQ(through_card("fixed"), 0);
  auto reader = nic::port::PcapReader::open(path("decided"));
  auto writer = nic::port::PcapngWriter::create(path("forged"));
  for (int i = 0; i < 25; ++i) {
    const auto next = reader->next();
    std::vector<uint8_t> frame((*next)->bytes.begin(), (*next)->bytes.end());
    if (i == 3) frame[50] = static_cast<uint8_t>(3 - frame[50]);
    ASSERT_TRUE(writer->write(frame, 0, {}, "").has_value());
  }
  ASSERT_TRUE(writer->close().has_value());
  EXPECT_EQ(run("recv --in " + path("forged")), 1);
  EXPECT_NE(out.find("1 other than fixed point says"), std::string::npos) << out;
}

TEST_F(ChangepointTool, bad_input_has_a_row_and_an_exit_code) {
  write("bad", "1\n2\nnan\n");
  EXPECT_EQ(run("tune " + path("bad")), 2);
  EXPECT_NE(err.find("row 3: the sample is NaN"), std::string::npos) << err;
  write("short", "1\n2\n3\n");
  EXPECT_EQ(run("send " + path("short") + " --out " + path("x")), 2);
  EXPECT_EQ(run("plot " + path("short")), 2);
  EXPECT_EQ(run("send " + path("none") + " --out " + path("x")), 4);
  EXPECT_EQ(run("send " + path("short")), 2);
  EXPECT_EQ(run("measure"), 2);
  EXPECT_EQ(run("recv --in " + path("short")), 2);
  write_series();
  EXPECT_EQ(run("send " + series() + " --interface no-such-if"), 4);
  EXPECT_EQ(run("tune " + series() + " --window 30"), 2);
  EXPECT_EQ(run("tune " + series() + " --epsilon 0"), 2);
  EXPECT_EQ(run("--help"), 0);
}

TEST_F(ChangepointTool, draws_and_tunes) {
  write_series();
  ASSERT_EQ(run("plot " + series() + " --svg " + path("svg")), 0) << err;
  EXPECT_NE(read("svg").find("<polyline"), std::string::npos);
  EXPECT_NE(read("svg").find("1 runs of splits"), std::string::npos);
  ASSERT_EQ(run("plot " + series() + " --columns 40 --lines 5"), 0);
  EXPECT_NE(out.find("12.000 |                    ####################"), std::string::npos) << out;
  write("decisions", "number,tag\n0,2\n99,1\n");
  EXPECT_EQ(run("plot " + series() + " --decisions " + path("decisions")), 2);
  EXPECT_NE(err.find("row 3: decision 99 is not one of the 25"), std::string::npos) << err;
  ASSERT_EQ(run("tune " + series() + " --epsilon 0.1 --window 8 --csv"), 0);
  EXPECT_NE(out.find("\n8,0.1,25,"), std::string::npos) << out;
}

TEST_F(ChangepointTool, measures_in_the_card) {
  write_series();
  ASSERT_EQ(run("measure " + series() + " --json"), 0) << err;
  const auto json = nlohmann::json::parse(out);
  EXPECT_EQ(json["transfer_ns"], 128);
  EXPECT_EQ(json["variants"][1]["p1_ns"], json["variants"][1]["p99.9_ns"]);
  EXPECT_GT(json["variants"][1]["p50_ns"], json["variants"][0]["p50_ns"]);
}

// A child's namespace: the program on a live interface, sender and receiver at the two ends.
TEST_F(ChangepointTool, works_through_a_live_veth_pair) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  write_series();
  const pid_t child = fork();
  if (child == 0) {
    auto pair = VethPair::make();
    if (!pair || !pair->attach(XNIC_PROGRAMS "/changepoint_fixed.bpf.o")) _exit(3);
    const std::string recv = XNIC_TOOL " recv --interface xnic-b --timeout 2 --json >" + path("out") + " & r=$!; ";
    const std::string send =
        "sleep 0.5; " XNIC_TOOL " send " + series() + " --interface xnic-a --rate 2000 --repeat 4 2>/dev/null; wait $r";
    const int status = std::system((recv + send).c_str());
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 3) GTEST_SKIP() << "no veth pair with XDP here";
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << read("out");
  EXPECT_EQ(nlohmann::json::parse(read("out"))["decisions"], 100);
}

}  // namespace
}  // namespace xnic::apps::changepoint
