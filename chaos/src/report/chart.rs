//! Two drawings over one axis of time: answers a second, and how long they took; behind them faults and changes of leader.

use core::fmt::Write;

use super::escaped;
use crate::check::{Evidence, seconds};
use crate::history::FaultStep;

const WIDTH: u64 = 1000;
const LEFT: u64 = 60;
const HEIGHT: u64 = 160;
const GAP: u64 = 36;
const TOP: u64 = 14;

/// A fault from its start to its stop.
pub(super) struct Span<'e> {
    pub(super) name: &'e str,
    pub(super) from: u64,
    pub(super) to: Option<u64>,
    pub(super) nodes: &'e [u64],
    pub(super) detail: &'e str,
    pub(super) happened: bool,
}

/// The faults of a run, in the order of their starts.
pub(super) fn spans(evidence: &Evidence) -> Vec<Span<'_>> {
    let mut spans: Vec<(u64, Span<'_>)> = Vec::new();
    for (at, fault) in &evidence.faults {
        match fault.step {
            FaultStep::Start => {
                let (name, nodes, detail) =
                    (fault.name.as_str(), fault.nodes.as_slice(), fault.detail.as_str());
                spans.push((fault.id, Span { name, from: *at, to: None, nodes, detail, happened: false }));
            }
            FaultStep::Stop { happened } => {
                if let Some((_, span)) = spans.iter_mut().rev().find(|(id, _)| *id == fault.id) {
                    span.to = Some(*at);
                    span.happened = happened;
                }
            }
        }
    }
    spans.into_iter().map(|(_, span)| span).collect()
}

/// Where things stand on the paper.
struct Paper {
    /// Microseconds of the whole width.
    length: u64,
    svg: String,
}

impl Paper {
    fn x(&self, at: u64) -> u64 {
        LEFT + (WIDTH - LEFT) * at.min(self.length) / self.length
    }

    fn add(&mut self, element: &str) {
        self.svg.push_str(element);
        self.svg.push('\n');
    }

    /// A curve over the seconds, on a drawing whose top is at `top`; seconds without a value leave a gap.
    fn curve(&mut self, class: &str, heights: impl Iterator<Item = Option<u64>>, top: u64) {
        let mut path = String::new();
        let mut down = false;
        for (second, height) in (0_u64..).zip(heights) {
            if let Some(height) = height {
                let (x, y) = (self.x(second * 1_000_000 + 500_000), top + HEIGHT - height.min(HEIGHT));
                let _ = write!(path, "{}{x} {y} ", if down { "L" } else { "M" });
            }
            down = height.is_some();
        }
        self.add(&format!("<path class=\"{class}\" d=\"{path}\"/>"));
    }

    fn level(&mut self, y: u64, label: &str) {
        let text = LEFT - 6;
        self.add(&format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/>\
             <text x=\"{text}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
            y + 4
        ));
    }
}

/// The drawings as one SVG element, with a key.
pub(super) fn timeline(evidence: &Evidence) -> String {
    let mut paper = Paper { length: evidence.end.max(1_000_000), svg: String::new() };
    let below = TOP + HEIGHT + GAP;
    let bottom = below + HEIGHT;
    let total = bottom + 24;
    paper.add(&format!(
        "<svg viewBox=\"0 0 {WIDTH} {total}\" role=\"img\" aria-label=\"rate and latency over time\">"
    ));
    behind(&mut paper, evidence, bottom);
    rate(&mut paper, evidence);
    latency(&mut paper, evidence, below);
    for tenth in 0..=10 {
        let at = paper.length * tenth / 10;
        let x = paper.x(at);
        paper.add(&format!(
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{} s</text>",
            bottom + 16,
            at / 1_000_000
        ));
    }
    paper.add("</svg>");
    paper.svg.push_str(
        "<p class=\"key dim\"><span><i style=\"background:var(--line)\"></i>answers a second; latency p50</span>\
         <span><i style=\"background:var(--line2)\"></i>calls without an answer; latency p99</span>\
         <span><i style=\"background:var(--fault)\"></i>fault</span>\
         <span><i style=\"border-top:2px dashed var(--ask)\"></i>change of leader</span></p>\n",
    );
    paper.svg
}

fn behind(paper: &mut Paper, evidence: &Evidence, bottom: u64) {
    for span in spans(evidence).iter().filter(|span| span.happened) {
        let from = paper.x(span.from);
        // A fault of an instant is as wide as can be seen.
        let width = paper.x(span.to.unwrap_or(paper.length)).saturating_sub(from).max(2);
        let name = escaped(&format!("{} at {} on nodes {:?}", span.name, seconds(span.from), span.nodes));
        paper.add(&format!(
            "<rect class=\"fault\" x=\"{from}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\"><title>{name}</title></rect>",
            bottom - TOP
        ));
    }
    for pair in evidence.leaders.windows(2).filter(|pair| pair[0].1 != pair[1].1) {
        let (at, leader) = &pair[1];
        let x = paper.x(*at);
        paper.add(&format!(
            "<line class=\"leader\" x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\"><title>node {} leads in term {}, {}\
             </title></line>",
            leader.node,
            leader.term,
            seconds(*at)
        ));
    }
    for (at, phase) in &evidence.phases {
        let x = paper.x(*at);
        paper.add(&format!(
            "<line class=\"phase\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{TOP}\"/><text x=\"{}\" y=\"10\">{}</text>",
            TOP - 8,
            x + 3,
            format!("{phase:?}").to_lowercase()
        ));
    }
}

fn rate(paper: &mut Paper, evidence: &Evidence) {
    let seconds = &evidence.rates.seconds;
    let most = seconds.iter().map(|second| second.answered.max(second.unanswered)).max().unwrap_or(0);
    let most = u64::from(most.max(10)).next_multiple_of(10);
    paper.level(TOP + HEIGHT, "0");
    paper.level(TOP + HEIGHT / 2, &(most / 2).to_string());
    paper.level(TOP, &format!("{most}/s"));
    let height = |count: u32| Some(u64::from(count) * HEIGHT / most);
    paper.curve("one", seconds.iter().map(|second| height(second.answered)), TOP);
    paper.curve("two", seconds.iter().map(|second| height(second.unanswered)), TOP);
}

/// Latency on a scale on which each step is ten times the one before, from 0.1 ms to 100 s.
fn latency(paper: &mut Paper, evidence: &Evidence, top: u64) {
    for (step, label) in (0..).zip(["0.1 ms", "1 ms", "10 ms", "0.1 s", "1 s", "10 s", "100 s"]) {
        paper.level(top + HEIGHT - HEIGHT * step / 6, label);
    }
    for (class, per_mille) in [("one", 500), ("two", 990)] {
        let heights = evidence.rates.seconds.iter().map(|second| second.latency(per_mille).map(height_of));
        paper.curve(class, heights, top);
    }
}

/// Height of a latency in microseconds: in whole decades, and linearly within one.
fn height_of(latency: u64) -> u64 {
    let (mut decade, mut bound) = (0, 100);
    while latency >= bound * 10 {
        bound *= 10;
        decade += 1;
    }
    let within = latency.saturating_sub(bound) * (HEIGHT / 6) / (bound * 9);
    HEIGHT * decade / 6 + within
}
