//! The report: one page that stands alone, and says what was found.

use raftwork_api::kernel::Status;

use crate::script::{Script, clean, end};

fn page(script: &Script) -> String {
    let mut page = Vec::new();
    raftwork_chaos::report::write(&mut page, &script.judge()).unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn a_page_fetches_nothing_and_runs_nothing() {
    let mut script = clean();
    let page = page(end(&mut script));
    for word in ["http://", "https://", "<script", "<link", "<img", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_page_shows_faults_leaders_verdicts_and_how_to_run_it_again() {
    let mut script = clean();
    let page = page(end(&mut script));
    for part in [
        "Verdict: <span class=\"pass\">pass</span>",
        "<title>kill-leader at",
        "<title>node 2 leads in term 2",
        "I3 tokens</td><td class=\"pass\">",
        "<pre>raftwork-chaos run --seed 7</pre>",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn a_violation_is_told_as_a_story_with_the_command_that_replays_it() {
    let mut script = clean();
    script.run.command = "raftwork-chaos run --seed 7 && echo '<script>'".to_owned();
    end(&mut script).read(1, Status::Running, 1, 0);
    let page = page(&script);
    let (_, story) = page.split_once("<div class=\"story\">").unwrap();
    assert!(story.contains("I2 one-ending: task 00000000-0000-0000-0000-000000000001 lives again"));
    assert!(story.contains("running, token 1") && story.contains("completed"));
    assert!(
        story.contains(
            "Replay it:</p><pre>raftwork-chaos run --seed 7 &amp;&amp; echo '&lt;script&gt;'</pre>"
        )
    );
}
