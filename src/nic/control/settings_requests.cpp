// SPDX-License-Identifier: Apache-2.0
// Settings on the running card. A table that a request brings takes the place of the one before as a whole, and each
// packet sees the old one or the new one.
#include <nlohmann/json.hpp>

#include "nic/control/service.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

// The filters with the indexes of the ports that they lead to.
Result<std::vector<datapath::Filter>> Service::resolve(const Port& port, const std::vector<FilterRule>& rules) {
  std::vector<datapath::Filter> filters;
  for (const FilterRule& rule : rules) {
    datapath::Filter filter = rule.filter;
    if (rule.to_host && port.host == nullptr)
      return make_error(ErrorKind::kBadInput, rule.where, "to_host: the port has no host side; see its key host");
    if (rule.to_host) filter.destination.number = port.host->info().ifindex;
    if (!rule.to_port.empty()) {
      auto to = find_port(rule.to_port);
      if (!to) return make_error(ErrorKind::kBadInput, rule.where, "to_port: {}", to.error().message());
      filter.destination.number = (*to)->port->info().ifindex;
    }
    filters.push_back(filter);
  }
  return filters;
}

Result<void> Service::apply(Port& port, PortSettings settings) {
  const uint32_t ifindex = port.port->info().ifindex;
  PortSettings& now = port.config.settings;
  // First what can be refused.
  if (settings.filters) {
    XNIC_ASSIGN(std::vector<datapath::Filter> filters, resolve(port, *settings.filters));
    XNIC_TRY(card_->set_filters(ifindex, std::move(filters)));
    now.filters = std::move(settings.filters);
  }
  if (settings.rss) {
    XNIC_TRY(card_->set_rss(ifindex, *settings.rss));
    now.rss = settings.rss;
  }
  if (settings.features) {
    XNIC_TRY(card_->set_features(ifindex, *settings.features));
    now.features = settings.features;
  }
  return {};
}

Result<ordered_json> Service::change_port_request(const ordered_json& request) {
  XNIC_ASSIGN(const std::string name, text_member(request, "port", true));
  XNIC_ASSIGN(const std::string text, text_member(request, "toml", true));
  XNIC_ASSIGN(const std::string file, text_member(request, "file", false));
  XNIC_ASSIGN(Port* const port, find_port(name));
  XNIC_ASSIGN(PortSettings settings, parse_settings(text, file.empty() ? "request" : file, queues_of(port->config)));
  XNIC_TRY(apply(*port, std::move(settings)));
  return ordered_json::object();
}

Result<ordered_json> Service::filter_request(const std::string& what, const ordered_json& request) {
  XNIC_ASSIGN(const std::string name, text_member(request, "port", true));
  XNIC_ASSIGN(Port* const port, find_port(name));
  std::vector<FilterRule> rules = port->config.settings.filters.value_or(std::vector<FilterRule>{});
  if (what == "filters") {
    ordered_json list = ordered_json::array();
    for (const FilterRule& rule : rules) list.push_back(rule.text);
    return ordered_json{{"filters", std::move(list)}};
  }
  if (what == "add_filter") {
    XNIC_ASSIGN(const std::string text, text_member(request, "toml", true));
    XNIC_ASSIGN(FilterRule rule, parse_filter(text, "filter", queues_of(port->config)));
    rules.push_back(std::move(rule));
  } else {
    if (!request.contains("number")) return make_error(ErrorKind::kBadInput, "request", "\"number\" is missing");
    XNIC_ASSIGN(const uint64_t number, number_member(request, "number", 0, UINT32_MAX));
    if (number >= rules.size())
      return make_error(ErrorKind::kBadInput, name, "there is no filter {}; the port has {}, from 0", number,
                        rules.size());
    rules.erase(rules.begin() + static_cast<ptrdiff_t>(number));
  }
  PortSettings settings;
  settings.filters = std::move(rules);
  XNIC_TRY(apply(*port, std::move(settings)));
  return ordered_json::object();
}

}  // namespace xnic::nic::control
