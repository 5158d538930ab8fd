#!/bin/sh
# Format check and clang-tidy. usage: lint.sh BUILD_DIR
set -eu
git ls-files '*.cpp' '*.hpp' | xargs clang-format-19 --dry-run -Werror
git ls-files 'src/*.cpp' 'tools/*.cpp' | xargs -P "$(nproc)" -n 4 clang-tidy-19 -quiet -p "$1" \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-deprecated-declarations
