//! What a check says: the invariant, the verdict, and for a violation the story that shows it.

use core::fmt;

/// What is known of an invariant after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A run of this kind cannot show it, and does not claim to.
    Untried,
    /// It was examined and held.
    Pass,
    /// It could not be examined, or not enough happened: this is not a pass.
    Unknown,
    /// It was broken.
    Violated,
}

impl Verdict {
    /// The verdict in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }

    /// Exit code of a process that ends with this verdict: 0 pass, 1 violated, 2 unknown.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Violated => 1,
            Self::Untried | Self::Unknown => 2,
        }
    }
}

macro_rules! invariants {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $claim:literal;)*) => {
        /// The claims that a history is held against, in the order of reports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant { $($(#[$doc])* $variant,)* }

        impl Invariant {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its number, as in `I1`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// Its name, as in `durable`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it says, in one sentence.
            pub const fn claim(self) -> &'static str {
                match self { $(Self::$variant => $claim,)* }
            }
        }
    };
}

invariants! {
    /// `check/durable.rs`
    Durable = "I1", "durable", "every acknowledged submit is there at the end, on every node, with its arguments";
    /// `check/one_ending.rs`
    OneEnding = "I2", "one-ending", "a task ends once, and its outcome never changes";
    /// `check/tokens.rs`
    Tokens = "I3", "tokens", "tokens rise with every grant in the whole cluster and are never given twice";
    /// `check/fencing.rs`
    Fencing = "I4", "fencing", "no report under a token that is not the newest is accepted";
    /// `check/forward.rs`
    Forward = "I5", "forward", "what readers see only moves forward";
    /// `check/keys.rs`
    Keys = "I6", "keys", "one idempotency key names one request and its tasks";
    /// `check/conservation.rs`
    Conservation = "I7", "conservation", "the tasks that exist are those that were asked for and the log accepted, and stand where it left them";
    /// `check/replicas.rs`
    Replicas = "I8", "replicas", "nodes that applied the same entries hold the same log and the same state";
    /// `check/attempts.rs`
    Attempts = "I9", "attempts", "a task is tried as often as its policy allows, and every attempt is counted once";
    /// `check/time.rs`
    Time = "I10", "time", "log time never goes back, and nothing starts before its time";
    /// `check/liveness.rs`
    Liveness = "I11", "liveness", "after the last fault there is a leader soon, and every accepted task ends";
    /// `check/effects.rs`
    Effects = "I12", "effects", "effects fenced by the token come in order, and the last one is of the attempt that completed";
    /// `check/order.rs`
    Order = "I13", "order", "tasks are granted by priority and age";
    /// `check/coverage.rs`
    Coverage = "I14", "coverage", "every planned fault happened, and enough was asked";
    /// `check/results.rs`
    Results = "I15", "results", "what completes has the result of its function for its arguments";
    /// `check/reruns.rs`
    Reruns = "I16", "reruns", "no task is run again whose worker lived and could be heard";
    /// `check/limits.rs`
    Limits = "I17", "limits", "no more tasks under a key are leased at a time than its limit";
    /// `check/after.rs`
    After = "I18", "after", "a task never starts before all that it runs after have ended, or if it was to fail with one of them";
    /// `check/witness.rs`
    Witness = "W", "witness", "every answer is the one that the log implies, in an order that agrees with real time";
    /// `check/linear/`
    Linearizable = "L", "linearizable", "for each task and each key, one order of all calls explains all answers";
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id(), self.name())
    }
}

/// One line of a story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, in microseconds since the start of the run; `None` for entries of the log.
    pub at: Option<u64>,
    /// What.
    pub text: String,
}

/// The shortest thing that shows a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What is wrong, in one sentence.
    pub headline: String,
    /// What led to it, in order.
    pub steps: Vec<Step>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.headline)?;
        self.steps.iter().try_for_each(|step| match step.at {
            Some(at) => write!(f, "\n  {:>12}  {}", seconds(at), step.text),
            None => write!(f, "\n  {:>12}  {}", "log", step.text),
        })
    }
}

/// Microseconds as people read them.
pub(crate) fn seconds(at: u64) -> String {
    format!("{}.{:06} s", at / 1_000_000, at % 1_000_000)
}

/// What became of one invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub invariant: Invariant,
    /// The verdict.
    pub verdict: Verdict,
    /// What was examined, or why it could not be.
    pub says: String,
    /// Number of violations; `stories` holds the first few.
    pub violations: u64,
    /// The first violations.
    pub stories: Vec<Story>,
}

/// Collects what one checker finds.
pub(super) struct Inquiry {
    invariant: Invariant,
    violations: u64,
    stories: Vec<Story>,
    missing: Option<String>,
    untried: Option<String>,
}

impl Inquiry {
    /// Most stories kept: the first ones tell most, the rest are consequences.
    const STORIES_MAX: usize = 3;

    pub(super) const fn into(invariant: Invariant) -> Self {
        Self { invariant, violations: 0, stories: Vec::new(), missing: None, untried: None }
    }

    /// Notes a violation; the story is told only if there is room for it.
    pub(super) fn violated(&mut self, story: impl FnOnce() -> Story) {
        self.violations += 1;
        if self.stories.len() < Self::STORIES_MAX {
            self.stories.push(story());
        }
    }

    /// Notes why the invariant cannot be judged from this history.
    pub(super) fn missing(&mut self, what: impl Into<String>) {
        self.missing.get_or_insert_with(|| what.into());
    }

    /// Notes why a run of this kind cannot show the invariant.
    pub(super) fn untried(&mut self, why: impl Into<String>) {
        self.untried.get_or_insert_with(|| why.into());
    }

    /// The finding; `examined` says what a pass rests on.
    pub(super) fn close(self, examined: impl Into<String>) -> Finding {
        let Self { invariant, violations, stories, missing, untried } = self;
        let (verdict, says) = match (violations, missing, untried) {
            (0, None, None) => (Verdict::Pass, examined.into()),
            (0, Some(missing), _) => (Verdict::Unknown, missing),
            (0, None, Some(untried)) => (Verdict::Untried, untried),
            (..) => (Verdict::Violated, examined.into()),
        };
        Finding { invariant, verdict, says, violations, stories }
    }
}
