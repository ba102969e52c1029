//! The picture for those who read no tables.

use std::fmt::Write as _;

use super::measure::{Row, Sample, Series};
use super::memory::Idle;
use super::modes::Mode;
use super::peers::{Checks, Peer};

const WIDTH: f64 = 860.0;
const LABELS: f64 = 132.0;
const BAR: f64 = 20.0;
const STEP: f64 = 28.0;
const TITLE: f64 = 50.0;
/// Room for the figure behind a bar.
const FIGURES: f64 = 130.0;

/// A bar that is more than this many times the reference's is cut off and says so, but never ours.
const LONGEST: f64 = 3.5;

const OURS: &str = "#d9480f";
const OTHERS: &str = "#868e96";
const UNCHECKED: &str = "#ced4da";

/// One group of bars.
struct Panel {
    title: String,
    unit: &'static str,
    /// The shortest first.
    bars: Vec<Bar>,
    reference: f64,
}

struct Bar {
    name: String,
    value: f64,
    colour: &'static str,
}

/// Draws what there is to draw; nothing where no mode of the picture was measured.
pub fn draw(results: &[Series], memory: &[Idle]) -> Option<String> {
    let of = |mode| results.iter().find(|series| series.mode == mode);
    let mut panels = Vec::new();
    let mut add = |mode, title: &str, unit, value: fn(&Sample) -> f64| {
        panels.extend(of(mode).and_then(|series| panel(series, title, unit, value)));
    };
    add(
        Mode::Accepted,
        "CPU time per accepted request, token and binding verified",
        "µs",
        Sample::cpu_micros,
    );
    add(Mode::Refused, "CPU time per refused request (wrong signature)", "µs", Sample::cpu_micros);
    let title = of(Mode::Latency80).and_then(Series::reference).map(|row| row.peer.name());
    let title =
        format!("99th percentile of latency at 80 % of the highest rate of {}", title.unwrap_or_default());
    add(Mode::Latency80, &title, "ms", |sample| sample.latencies.p99 * 1e3);
    panels.extend(memory_panel(memory));
    if panels.is_empty() {
        return None;
    }
    let height = 56.0 + panels.iter().map(Panel::height).sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"14\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n"
    );
    let mut y = 12.0;
    for panel in &panels {
        panel.draw(&mut svg, y).ok()?;
        y += panel.height();
    }
    legend(&mut svg, y + 14.0).ok()?;
    svg.push_str("</svg>\n");
    Some(svg)
}

fn panel(
    series: &Series,
    title: &str,
    unit: &'static str,
    value: impl Fn(&Sample) -> f64 + Copy,
) -> Option<Panel> {
    let bar = |row: &Row| Bar::new(&row.peer, row.median(value));
    let reference = series.reference()?.median(value);
    Panel::new(title, unit, series.rows.iter().map(bar), reference)
}

fn memory_panel(memory: &[Idle]) -> Option<Panel> {
    let memory: Vec<&Idle> = memory.iter().filter(|idle| idle.mode == Mode::Memory).collect();
    let bars = memory.iter().map(|idle| Bar::new(&idle.peer, idle.per_connection()));
    let reference = memory.iter().find(|idle| idle.peer == Peer::Haproxy).or_else(|| memory.first())?;
    Panel::new("Memory per idle connection", "KiB", bars, reference.per_connection())
}

impl Bar {
    fn new(peer: &Peer, value: f64) -> Self {
        let colour = match (peer, peer.checks()) {
            (Peer::Gateway { .. }, _) => OURS,
            (_, Checks::All) => OTHERS,
            (_, Checks::NoBinding | Checks::Nothing) => UNCHECKED,
        };
        Self { name: peer.name().to_owned(), value, colour }
    }
}

impl Panel {
    fn new(title: &str, unit: &'static str, bars: impl Iterator<Item = Bar>, reference: f64) -> Option<Self> {
        let mut bars: Vec<Bar> = bars.filter(|bar| bar.value.is_finite()).collect();
        bars.sort_by(|left, right| left.value.total_cmp(&right.value));
        (!bars.is_empty()).then(|| Self { title: title.into(), unit, bars, reference })
    }

    fn height(&self) -> f64 {
        TITLE + STEP * self.bars.len() as f64
    }

    fn draw(&self, svg: &mut String, top: f64) -> std::fmt::Result {
        writeln!(
            svg,
            "<text x=\"24\" y=\"{}\" font-weight=\"600\" fill=\"#212529\">{}</text>",
            top + 26.0,
            self.title
        )?;
        let most = self.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let ours = self.bars.iter().filter(|bar| bar.colour == OURS).map(|bar| 1.1 * bar.value);
        let longest = ours.fold(LONGEST * self.reference, f64::max).min(most);
        let room = WIDTH - LABELS - FIGURES;
        for (number, bar) in self.bars.iter().enumerate() {
            let y = top + TITLE - 8.0 + STEP * number as f64;
            let length = (bar.value.min(longest) / longest * room).max(1.0);
            let baseline = y + BAR - 5.0;
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\" fill=\"#212529\">{}</text>\
                 <rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{}\"/>",
                LABELS - 10.0,
                bar.name,
                bar.colour
            )?;
            if bar.value > longest {
                cut(svg, LABELS + length - 26.0, y)?;
            }
            let figure =
                if bar.value < 10.0 { format!("{:.2}", bar.value) } else { format!("{:.1}", bar.value) };
            writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{baseline}\" fill=\"#495057\">{figure} {}</text>",
                LABELS + length + 8.0,
                self.unit
            )?;
        }
        Ok(())
    }
}

/// Two slanted lines across a bar that goes on beyond the picture.
fn cut(svg: &mut String, x: f64, y: f64) -> std::fmt::Result {
    let (bottom, top) = (y + BAR + 2.0, y - 2.0);
    for x in [x, x + 7.0] {
        writeln!(
            svg,
            "<path d=\"M{x:.1} {bottom:.1} L{:.1} {top:.1}\" stroke=\"#ffffff\" stroke-width=\"3\"/>",
            x + 6.0
        )?;
    }
    Ok(())
}

fn legend(svg: &mut String, y: f64) -> std::fmt::Result {
    let entries = [(OURS, "the gateway"), (OTHERS, "the same checks"), (UNCHECKED, "fewer checks, or none")];
    for (number, (colour, text)) in entries.into_iter().enumerate() {
        let x = LABELS + 190.0 * number as f64;
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\" font-size=\"13\" fill=\"#495057\">{text}</text>",
            y - 11.0,
            x + 18.0
        )?;
    }
    Ok(())
}
