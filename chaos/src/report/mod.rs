//! The report of a run: one page that stands alone, for people. No script, nothing to fetch, light and dark.

mod chart;

use std::io::{self, Write};

use crate::check::{Evidence, Finding, Judgement, Story, Verdict, seconds};

const STYLE: &str = include_str!("style.css");

/// Writes the page.
///
/// # Errors
/// When `out` fails.
pub fn write(out: &mut impl Write, judgement: &Judgement) -> io::Result<()> {
    let evidence = &judgement.evidence;
    let verdict = judgement.verdict();
    let title = format!("raftwork-chaos: {}, seed {}", verdict.name(), evidence.run.seed);
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>\n<style>\n{STYLE}</style></head><body>",
        escaped(&title)
    )?;
    head(out, judgement)?;
    writeln!(out, "<h2>What happened</h2>")?;
    out.write_all(chart::timeline(evidence).as_bytes())?;
    writeln!(out, "<h2>Verdicts</h2>")?;
    verdicts(out, &judgement.findings)?;
    for finding in judgement.findings.iter().filter(|finding| finding.verdict == Verdict::Violated) {
        for story in &finding.stories {
            tell(out, finding, story, &evidence.run.command)?;
        }
    }
    faults(out, evidence)?;
    settings(out, evidence)?;
    writeln!(out, "</body></html>")
}

fn head(out: &mut impl Write, judgement: &Judgement) -> io::Result<()> {
    let (evidence, counts, verdict) = (&judgement.evidence, judgement.counts, judgement.verdict());
    let run = &evidence.run;
    let name = verdict.name();
    writeln!(out, "<h1>Verdict: <span class=\"{name}\">{name}</span></h1>")?;
    let commit = if run.commit.is_empty() { "an unknown commit" } else { &run.commit };
    let again = if verdict == Verdict::Pass { "Run it again" } else { "Replay it" };
    let nodes = run.nodes.len();
    writeln!(
        out,
        "<p class=\"dim\">{nodes} nodes, seed {}, {}{}; {} of history. {} operations answered, {} of them refused; {} failed; \
         {} without an answer.</p>\n<p>{again}:</p><pre>{}</pre>",
        run.seed,
        escaped(commit),
        if run.started.is_empty() { String::new() } else { format!(", started {}", escaped(&run.started)) },
        seconds(evidence.end),
        counts.answered(),
        counts.refused,
        counts.failed,
        counts.unknown,
        escaped(&run.command)
    )
}

fn verdicts(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    writeln!(out, "<table><tr><th>Invariant</th><th>Verdict</th><th>Claim</th><th>Examined</th></tr>")?;
    for Finding { invariant, verdict, says, violations, .. } in findings {
        let name = verdict.name();
        let times = if *violations > 0 { format!(" ({violations})") } else { String::new() };
        writeln!(
            out,
            "<tr><td>{invariant}</td><td class=\"{name}\">{name}{times}</td><td>{}</td><td class=\"dim\">{}</td></tr>",
            escaped(invariant.claim()),
            escaped(says)
        )?;
    }
    writeln!(out, "</table>")
}

fn tell(out: &mut impl Write, finding: &Finding, story: &Story, command: &str) -> io::Result<()> {
    writeln!(
        out,
        "<div class=\"story\"><h2>{}: {}</h2><table>",
        finding.invariant,
        escaped(&story.headline)
    )?;
    for step in &story.steps {
        let at = step.at.map_or_else(|| "log".to_owned(), seconds);
        writeln!(out, "<tr><td class=\"dim\">{at}</td><td><code>{}</code></td></tr>", escaped(&step.text))?;
    }
    writeln!(out, "</table><p>Replay it:</p><pre>{}</pre></div>", escaped(command))
}

fn faults(out: &mut impl Write, evidence: &Evidence) -> io::Result<()> {
    let rows = chart::spans(evidence);
    writeln!(out, "<h2>Faults</h2>")?;
    if rows.is_empty() {
        return writeln!(out, "<p class=\"dim\">None.</p>");
    }
    writeln!(out, "<table><tr><th>Fault</th><th>From</th><th>To</th><th>Nodes</th><th>What</th></tr>")?;
    for span in rows {
        let to = span.to.map_or_else(|| "never taken back".to_owned(), seconds);
        let happened = if span.happened { "" } else { " (did not take effect)" };
        writeln!(
            out,
            "<tr><td>{}{happened}</td><td>{}</td><td>{to}</td><td>{:?}</td><td class=\"dim\">{}</td></tr>",
            escaped(span.name),
            seconds(span.from),
            span.nodes,
            escaped(span.detail)
        )?;
    }
    writeln!(out, "</table>")?;
    for (name, why) in &evidence.run.skipped {
        writeln!(out, "<p class=\"dim\">Skipped: {} ({})</p>", escaped(name), escaped(why))?;
    }
    Ok(())
}

fn settings(out: &mut impl Write, evidence: &Evidence) -> io::Result<()> {
    if evidence.run.settings.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>Settings</h2><table>")?;
    for (name, value) in &evidence.run.settings {
        writeln!(out, "<tr><td>{}</td><td><code>{}</code></td></tr>", escaped(name), escaped(value))?;
    }
    writeln!(out, "</table>")
}

/// Text as it may stand in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
