//! The sections of the page, in the order of an operator's questions.

use serde_json::Value;

use super::chart::chart;
use super::html::{Grouped, Html, LongTime, ShortTime};
use super::keys::CertificateReport;
use super::limits::LimitReport;
use super::origins::{AddressStatus, OriginStatus};
use super::report::StatusReport;
use super::routes::{Amount, RouteReport, RouteReports};
use super::traffic::{Quantiles, TrafficReport};

/// Routes that the page shows; `/status.json` has more.
const ROUTES: usize = 30;

/// A certificate that expires within so many days is marked.
const FEW_DAYS: i64 = 14;

/// The content of the page.
pub(super) fn content(report: &StatusReport, html: &mut Html) {
    headline(report, html);
    traffic(&report.traffic, html);
    routes(&report.routes, html);
    origins(&report.origins, html);
    limits(&report.limits, html);
    html.raw("<div class=\"pair\">");
    certificates(&report.certificates, html);
    keys(report, html);
    html.raw("</div>");
    recent(&report.recent, html);
}

/// The class of a state, which has its colour.
pub(super) fn class(state: &str) -> &'static str {
    match state {
        "serving" | "up" => "ok",
        "degraded" | "failing" | "draining" => "warn",
        "down" => "bad",
        _ => "idle",
    }
}

fn headline(report: &StatusReport, html: &mut Html) {
    html.raw("<header><h1 class=\"").raw(class(report.state)).raw("\"><i></i>").text(capital(report.state));
    html.raw("</h1><p class=\"reason\">").text(capital(&report.reason)).raw(".</p>");
    if report.problems.len() > 1 {
        html.raw("<ul class=\"problems\">");
        for problem in &report.problems {
            html.element("li", "", capital(problem));
        }
        html.raw("</ul>");
    }
    html.raw("<p class=\"facts\">");
    html.element("span", "", format_args!("Version {}", report.process.version));
    html.element("span", "", format_args!("up {}", LongTime(report.process.uptime_seconds.unsigned_abs())));
    match &report.config.hash {
        Some(hash) => html.element("span", "", format_args!("configuration {hash}")),
        None => html.element("span", "", "configured by the environment"),
    };
    html.element("span", "", format_args!("generation {}", report.config.generation));
    html.raw("</p>");
    if let Some(refused) = &report.config.refused {
        html.raw("<div class=\"refused\"><p>The reload at <time>").text(moment(&refused.at));
        html.raw("</time> was refused. The configuration before it stays in force.</p><pre>");
        for problem in &refused.problems {
            html.text(problem).raw("\n");
        }
        html.raw("</pre></div>");
    }
    html.raw("</header>");
}

fn traffic(traffic: &TrafficReport, html: &mut Html) {
    html.raw("<section><h2>Last ten minutes");
    if traffic.window_seconds < 580 {
        html.raw(" <small>of which ").text(LongTime(traffic.window_seconds)).raw(" are known</small>");
    }
    html.raw("</h2><dl class=\"figures\">");
    figure("Requests", "", traffic.requests, traffic.window_seconds, html);
    let errors = if traffic.server_errors > 0 { "bad" } else { "" };
    figure("5xx", errors, traffic.server_errors, traffic.window_seconds, html);
    figure("Refused", "", traffic.refused, traffic.window_seconds, html);
    latency("Latency", &traffic.latency_seconds, html);
    latency("The gateway’s own share", &traffic.own_share_seconds, html);
    html.raw("</dl>");
    chart(traffic, html);
    html.raw("</section>");
}

fn figure(name: &'static str, class: &'static str, count: u64, seconds: u64, html: &mut Html) {
    html.raw("<div><dt>").raw(name).raw("</dt><dd class=\"").raw(class).raw("\">").text(Grouped(count));
    html.raw("</dd><dd class=\"note\">");
    let rate = count as f64 / seconds.max(1) as f64;
    let decimals = if rate < 1.0 { 2 } else { usize::from(rate < 100.0) };
    html.text(format_args!("{rate:.decimals$} a second")).raw("</dd></div>");
}

fn latency(name: &'static str, quantiles: &Quantiles, html: &mut Html) {
    html.raw("<div><dt>").raw(name).raw("</dt><dd>").text(ShortTime(quantiles.p50));
    html.raw(" <small>median</small></dd><dd class=\"note\">p95 ").text(ShortTime(quantiles.p95));
    html.raw(" · p99 ").text(ShortTime(quantiles.p99)).raw("</dd></div>");
}

fn routes(routes: &RouteReports, html: &mut Html) {
    html.raw("<section><h2>Refusals by route</h2>");
    if routes.shown.is_empty() {
        html.raw("<p class=\"none\">No request yet.</p>");
    } else {
        html.raw("<div class=\"scroll\"><table><thead><tr><th>Route</th><th>Policy</th><th class=\"n\">Requests</th><th class=\"n\">Refused</th><th class=\"n\">Would be refused</th><th>Why</th></tr></thead><tbody>");
        routes.shown.iter().take(ROUTES).for_each(|shown| route(shown, html));
        html.raw("</tbody></table></div><p class=\"note\">In the last ten minutes; below, if it differs, since the start.");
        if routes.count > ROUTES {
            let others = routes.count - ROUTES;
            html.text(format_args!(" {others} more routes: the first hundred are in /status.json."));
        }
        html.raw("</p>");
    }
    html.raw("</section>");
}

fn route(route: &RouteReport, html: &mut Html) {
    html.raw("<tr><td class=\"name\">").text(&route.route).raw("</td><td>").raw(route.policy).raw("</td>");
    amount("requests", route.requests, html);
    amount("refused", route.refused, html);
    amount("would be refused", route.would_be_refused, html);
    html.raw("<td class=\"why\">");
    let refusals: Vec<_> = route.outcomes.iter().filter(|outcome| outcome.is_refusal).collect();
    for outcome in refusals.iter().filter(|outcome| outcome.amount.recent > 0) {
        html.raw("<span class=\"chip\">").raw(outcome.reason).raw(" <b>");
        html.text(Grouped(outcome.amount.recent)).raw("</b></span> ");
    }
    if route.policy == "observe" {
        html.raw("<span class=\"note\">").raw(match (route.requests.recent, route.would_be_refused.recent) {
            (0, _) => "no request lately: nothing is known",
            (_, 0) => "protect would refuse none of them",
            _ => "protect would refuse these",
        });
        html.raw("</span>");
    }
    html.raw("</td></tr>");
}

fn amount(name: &'static str, amount: Amount, html: &mut Html) {
    html.raw("<td class=\"n\" data-name=\"").raw(name).raw("\">");
    match amount {
        Amount { total: 0, .. } => html.raw("–"),
        Amount { total, recent } if total == recent => html.text(Grouped(recent)),
        Amount { total, recent } => html.text(Grouped(recent)).element("small", "", Grouped(total)),
    };
    html.raw("</td>");
}

fn origins(origins: &[OriginStatus], html: &mut Html) {
    html.raw("<section><h2>Origins</h2><ul class=\"rows\">");
    for origin in origins {
        html.raw("<li><div class=\"row\"><span class=\"state ").raw(class(origin.state)).raw("\">");
        html.raw(origin.state).raw("</span><b>").text(&origin.name).raw("</b><span class=\"note\">");
        html.text(format_args!("{} in flight", origin.in_flight));
        if origin.queued > 0 {
            html.text(format_args!(", {} waiting", origin.queued));
        }
        html.raw("</span></div><ul>");
        origin.addresses.iter().for_each(|shown| address(shown, html));
        html.raw("</ul></li>");
    }
    html.raw("</ul></section>");
}

fn address(address: &AddressStatus, html: &mut Html) {
    html.raw("<li><div class=\"row\"><span class=\"state ").raw(class(address.state)).raw("\">");
    html.raw(address.state).raw("</span><code>").text(&address.address).raw("</code>");
    if let Some(in_flight) = address.in_flight {
        html.element("span", "note", format_args!("{in_flight} in flight"));
    }
    html.raw("</div>");
    if let Some(reason) = &address.reason {
        html.element("p", "", capital(reason));
    }
    if let Some(failure) = &address.last_failure {
        let ago = LongTime(failure.seconds_ago);
        match &address.reason {
            Some(_) => html.element("p", "note", format_args!("{ago} ago")),
            None => html.element("p", "note", format_args!("Failed {ago} ago: {}", failure.message)),
        };
    }
    html.raw("</li>");
}

fn limits(limits: &LimitReport, html: &mut Html) {
    html.raw("<section><h2>Limits and bans</h2><dl class=\"figures few\">");
    for (name, used) in
        [("Requests in flight", limits.requests_in_flight), ("Connections", limits.connections)]
    {
        html.raw("<div><dt>").raw(name).raw("</dt><dd>").text(Grouped(used.count as u64));
        html.raw("</dd><dd class=\"note\">of ").text(Grouped(used.limit as u64)).raw("</dd></div>");
    }
    html.raw("</dl><p class=\"why\">");
    for exceeded in &limits.exceeded {
        html.raw("<span class=\"chip\">").raw(exceeded.limit).raw(" <b>").text(Grouped(exceeded.count));
        html.raw("</b> ").raw(exceeded.outcome).raw("</span> ");
    }
    for rate in &limits.rates {
        html.raw("<span class=\"chip\">")
            .text(&rate.name)
            .text(rate.route.as_ref().map_or(String::new(), |route| format!(" of {route}")));
        html.raw(" <b>").text(Grouped(rate.refused + rate.observed)).raw("</b></span> ");
    }
    if limits.exceeded.is_empty() {
        html.raw("<span class=\"none\">No limit has been exceeded since the start.</span>");
    }
    html.raw("</p>");
    if limits.bans.is_empty() {
        html.raw("<p class=\"none\">No address is banned.</p>");
    } else {
        html.raw("<ul class=\"rows\">");
        for ban in &limits.bans {
            html.raw("<li><div class=\"row\"><code>")
                .text(&ban.address)
                .raw("</code><span class=\"note\">banned for another ");
            html.text(LongTime(ban.seconds_left)).raw(", ban ").text(ban.bans);
            html.raw("</span><button type=\"button\" hidden data-forgive=\"").text(&ban.address);
            html.raw("\">Forgive</button></div></li>");
        }
        html.raw("</ul>");
        if limits.banned > limits.bans.len() {
            html.raw("<p class=\"note\">").text(Grouped((limits.banned - limits.bans.len()) as u64));
            html.raw(" more: see <code>/offenders</code></p>");
        }
        html.raw("<noscript><p class=\"note\">To forgive an address: <code>curl -X DELETE http://…/offenders/ADDRESS</code></p></noscript>");
    }
    html.raw("</section>");
}

fn certificates(certificates: &[CertificateReport], html: &mut Html) {
    html.raw("<section><h2>Certificates</h2>");
    if certificates.is_empty() {
        html.raw("<p class=\"none\">No listener has TLS.</p>");
    }
    html.raw("<ul class=\"rows\">");
    for certificate in certificates {
        let class = match certificate.days_left {
            ..0 => "bad",
            0..FEW_DAYS => "warn",
            _ => "ok",
        };
        html.raw("<li><div class=\"row\"><span class=\"state ").raw(class).raw("\">");
        html.text(format_args!("{} days", certificate.days_left)).raw("</span><b>").text(&certificate.name);
        html.raw("</b><span class=\"note\">").text(&certificate.listener).raw("</span></div></li>");
    }
    html.raw("</ul></section>");
}

fn keys(report: &StatusReport, html: &mut Html) {
    html.raw("<section><h2>Keys</h2><ul class=\"rows\">");
    for key in &report.keys {
        html.raw("<li><div class=\"row\"><b>").text(key.id.as_deref().unwrap_or("any key id"));
        html.raw("</b><span>").raw(key.algorithm).raw("</span><span class=\"note\">");
        if key.role == "failed_attestation" {
            html.raw("explains failed attestations ");
        }
        if let Some(origin) = &key.origin {
            html.text(format_args!("of origin {origin}"));
        }
        html.raw("</span></div></li>");
    }
    for set in &report.key_sets {
        let state = if set.keys > 0 { "ok" } else { "bad" };
        html.raw("<li><div class=\"row\"><span class=\"state ").raw(state).raw("\">");
        html.text(format_args!("{} keys", set.keys)).raw("</span><b>").text(&set.name);
        html.raw("</b><span class=\"note\">");
        match set.fetched_seconds_ago {
            Some(ago) => html.raw("fetched ").text(LongTime(ago.unsigned_abs())).raw(" ago"),
            None => html.raw("never fetched"),
        };
        html.raw("</span></div></li>");
    }
    html.raw("</ul></section>");
}

fn recent(entries: &[Value], html: &mut Html) {
    html.raw("<section><h2>Last refusals and failures</h2>");
    if entries.is_empty() {
        html.raw("<p class=\"none\">None since the start.</p>");
    }
    html.raw("<ul class=\"rows log\">");
    for entry in entries {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let status = entry["http.response.status_code"].as_u64();
        html.raw("<li><div class=\"row\"><time>").text(text("timestamp").get(11..19).unwrap_or_default());
        html.raw("</time><span class=\"state ").raw(if status.is_some_and(|status| status < 500) {
            "warn"
        } else {
            "bad"
        });
        html.raw("\">");
        match status {
            Some(status) => html.text(status),
            None => html.raw("none"),
        };
        html.raw("</span><code>").text(text("http.request.method")).raw(" ").text(text("url.path"));
        html.raw("</code><span class=\"note\">").text(text("client.address")).raw("</span></div><p>");
        let why = ["error.message", "approov.limit", "error.type", "approov.reason"].map(text);
        let otherwise = match text("approov.verdict") {
            "denied" => "refused by policy",
            _ if entry["approov.origin"].is_string() => "the origin’s answer",
            _ => "",
        };
        html.text(why.into_iter().find(|why| !why.is_empty() && *why != "ok").unwrap_or(otherwise));
        html.raw("</p></li>");
    }
    html.raw("</ul></section>");
}

/// A time as people write it.
pub(super) fn moment(time: &str) -> String {
    format!("{} UTC", time.get(..19).unwrap_or(time).replace('T', " "))
}

/// The text with its first letter as a capital.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
