//! Ten minutes of requests as a small chart.

use super::html::{Grouped, Html};
use super::traffic::{TrafficPart, TrafficReport};

/// Parts of the whole chart: ten minutes.
const PARTS: usize = 60;

/// Width of a part and height of the chart, in units of the drawing.
const WIDTH: usize = 10;
const HEIGHT: u64 = 100;

/// A bar for each part: forwarded requests at the bottom, then refused ones, then 5xx.
pub(super) fn chart(traffic: &TrafficReport, html: &mut Html) {
    let most = traffic.parts.iter().map(|part| part.requests).max().unwrap_or_default();
    html.raw("<figure><svg viewBox=\"0 0 600 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"");
    html.text(Grouped(traffic.requests)).raw(" requests, ").text(Grouped(traffic.refused));
    html.raw(" refused, ").text(Grouped(traffic.server_errors)).raw(" errors in the last ten minutes\">");
    let first = PARTS.saturating_sub(traffic.parts.len());
    for (index, part) in traffic.parts.iter().rev().take(PARTS).rev().enumerate() {
        bars(part, most, (first + index) * WIDTH, html);
    }
    html.raw("</svg><figcaption><span>10 min ago</span><span class=\"keys\"><i class=\"ok\"></i>forwarded <i class=\"warn\"></i>refused <i class=\"bad\"></i>5xx</span><span>now</span></figcaption></figure>");
}

fn bars(part: &TrafficPart, most: u64, x: usize, html: &mut Html) {
    // A count that is not 0 is always seen.
    let height = |count: u64| match count {
        0 => 0,
        count => (count * HEIGHT / most.max(1)).max(2),
    };
    let forwarded = part.requests.saturating_sub(part.refused).saturating_sub(part.server_errors);
    let mut top = HEIGHT;
    for (class, count) in [("ok", forwarded), ("warn", part.refused), ("bad", part.server_errors)] {
        if count > 0 {
            let height = height(count).min(top);
            top -= height;
            html.raw("<rect class=\"").raw(class).raw("\" x=\"").text(x + 1).raw("\" width=\"8\" y=\"");
            html.text(top).raw("\" height=\"").text(height).raw("\"><title>");
            html.text(Grouped(part.requests)).raw(" requests, ").text(Grouped(part.refused));
            html.raw(" refused, ").text(Grouped(part.server_errors)).raw(" 5xx</title></rect>");
        }
    }
}
