// SPDX-License-Identifier: Apache-2.0
// The tables of docs/feature-matrix.md that follow from the tables of src/arch/ebpf.
#pragma once

#include <string>

namespace xnic::tidy {

// `document` with the text between each "<!-- generated: NAME -->" and "<!-- end -->" replaced by the table of that
// name ("helpers", "map types"). A name that is not known leaves its part empty.
std::string fill_feature_matrix(const std::string& document);

}  // namespace xnic::tidy
