//! Rules: what a submit asks for that most do not. Kept beside the tasks, so that a task without rules costs nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{ScheduleId, TaskId};
use crate::limit::{Bound, LimitKind, LimitName};
use crate::limits::{DEPENDENCIES_MAX, EXCEPTION_NAME_BYTES_MAX, EXCEPTIONS_MAX, TAG_BYTES_MAX, TAGS_MAX};
use crate::parts::InParts;
use crate::task::Deadlines;
use crate::time::{LogTime, Millis, WallTime};

/// Names of things that a worker offers and a task needs, as in `gpu` or `zone=eu`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tags(BTreeSet<String>);

impl Tags {
    /// No tags.
    pub const NONE: &'static Self = &Self(BTreeSet::new());

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `offered` has all of these.
    pub fn are_in(&self, offered: &Self) -> bool {
        self.0.is_subset(&offered.0)
    }

    /// Those of these that `offered` has not.
    #[must_use]
    pub fn missing_in(&self, offered: &Self) -> Self {
        Self(self.0.difference(&offered.0).cloned().collect())
    }

    /// Checks number and form: 1 to 64 letters, digits and `._:=/-` each.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.0.len() > TAGS_MAX {
            return Err(format!("{} tags are more than {TAGS_MAX}", self.0.len()));
        }
        self.0.iter().try_for_each(|tag| check_tag(tag))
    }
}

impl<T: Into<String>> FromIterator<T> for Tags {
    fn from_iter<I: IntoIterator<Item = T>>(tags: I) -> Self {
        Self(tags.into_iter().map(Into::into).collect())
    }
}

fn check_tag(tag: &str) -> Result<(), String> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._:=/-".contains(&byte);
    if (1..=TAG_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(is_sign) {
        return Ok(());
    }
    let shown: String = tag.chars().take(TAG_BYTES_MAX).collect();
    Err(format!("'{shown}' is no tag: 1 to {TAG_BYTES_MAX} letters, digits and . _ : = / - make one"))
}

/// Names of classes of exceptions, as in `ValueError` or `shop.errors.Broken`: those of Python's own and of `__main__`
/// may do without their module.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exceptions(BTreeSet<String>);

impl Exceptions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether one of them is one of `classes`.
    pub fn name_any<'n>(&self, mut classes: impl Iterator<Item = &'n str>) -> bool {
        classes.any(|class| self.0.iter().any(|name| bare(name) == bare(class)))
    }

    fn check(&self) -> Result<(), String> {
        if self.0.len() > EXCEPTIONS_MAX {
            return Err(format!("{} names of exceptions are more than {EXCEPTIONS_MAX}", self.0.len()));
        }
        self.0.iter().try_for_each(|name| check_class(name))
    }
}

impl<T: Into<String>> FromIterator<T> for Exceptions {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// Without the module that may be left out.
fn bare(class: &str) -> &str {
    let modules = ["builtins.", "__main__.", "raftwork."];
    modules.iter().find_map(|module| class.strip_prefix(module)).unwrap_or(class)
}

fn check_class(name: &str) -> Result<(), String> {
    let is_part = |part: &str| !part.is_empty() && !part.contains(|letter: char| letter.is_whitespace());
    if name.len() <= EXCEPTION_NAME_BYTES_MAX && name.split('.').all(is_part) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("'{shown}' is no name of an exception: write it as in ValueError or package.module.Error"))
}

/// What becomes of a task when one that it was to run after ends without a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It fails as well, without ever running.
    #[default]
    Fail,
    /// It runs, once all of them have ended.
    Run,
}

/// Tasks that one runs after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct After {
    /// Which.
    pub tasks: BTreeSet<TaskId>,
    /// Those among them whose results its worker is given along with its arguments.
    pub results: BTreeSet<TaskId>,
    /// What happens if one of them fails, is parked or is cancelled.
    pub on_failure: OnFailure,
}

impl After {
    /// What a submit asks for that names `tasks`, the tasks whose results it is given, and a policy; nothing if it names
    /// no task.
    ///
    /// # Errors
    ///
    /// Says what to do about a policy for tasks that are not named.
    pub fn of(
        tasks: impl IntoIterator<Item = TaskId>,
        results: BTreeSet<TaskId>,
        on_failure: Option<OnFailure>,
    ) -> Result<Option<Self>, &'static str> {
        let tasks: BTreeSet<TaskId> = tasks.into_iter().chain(results.iter().copied()).collect();
        match on_failure {
            Some(_) if tasks.is_empty() => Err(
                "on_failure says what happens if a task of after fails: name those tasks, or leave it out",
            ),
            _ if tasks.is_empty() => Ok(None),
            policy => Ok(Some(Self { tasks, results, on_failure: policy.unwrap_or_default() })),
        }
    }

    fn check(&self) -> Result<(), String> {
        if !self.results.is_subset(&self.tasks) {
            return Err("only the results of tasks that it runs after can be given to a task".to_owned());
        }
        match self.tasks.len() {
            0 => Err("a rule of no dependencies says nothing".to_owned()),
            1..=DEPENDENCIES_MAX => Ok(()),
            count => Err(format!("{count} dependencies are more than {DEPENDENCIES_MAX}")),
        }
    }
}

/// One thing to ask for. New kinds go to the end: what was written down before keeps its meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// Only a worker that offers all of these may run the task.
    Tags(Tags),
    /// The task is another try of this one, which has failed. No submit may ask for it: see [`Redrive`](crate::Redrive).
    RedriveOf(TaskId),
    /// A failure by one of these exceptions, or by one that is derived from them, is final.
    NoRetry(Exceptions),
    /// The task has failed if no attempt was granted so long after acceptance.
    StartBy(Millis),
    /// The task has failed if it has not ended so long after acceptance, whatever it does then.
    Total(Millis),
    /// The task waits until the calendar says so.
    RunAt(WallTime),
    /// So many tasks under this key are leased at a time, at most.
    Concurrency {
        /// What they share.
        key: String,
        /// How many; at least 1.
        max: u32,
    },
    /// So many tasks under this key start within any span of this length, at most.
    Rate {
        /// What they share.
        key: String,
        /// How many; at least 1.
        max: u32,
        /// The span, of log time.
        per: Millis,
    },
    /// A schedule submitted the task; nobody else may say so.
    Scheduled {
        /// Its name.
        name: String,
        /// Its id.
        schedule: ScheduleId,
        /// For which nominal time.
        nominal: WallTime,
    },
    /// The arguments of the task, which is submitted alone, were sent in parts: what stands in their place is empty.
    InParts(InParts),
    /// The task waits until others have ended.
    After(After),
}

impl Rule {
    const fn kind(&self) -> u8 {
        match self {
            Self::Tags(_) => 0,
            Self::RedriveOf(_) => 1,
            Self::NoRetry(_) => 2,
            Self::StartBy(_) => 3,
            Self::Total(_) => 4,
            Self::RunAt(_) => 5,
            Self::Concurrency { .. } => 6,
            Self::Rate { .. } => 7,
            Self::Scheduled { .. } => 8,
            Self::InParts(_) => 9,
            Self::After(_) => 10,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Tags(tags) if tags.is_empty() => Err("a rule of no tags says nothing".to_owned()),
            Self::Tags(tags) => tags.check(),
            Self::Concurrency { max: 0, .. } | Self::Rate { max: 0, .. } => {
                Err("a limit of a task is at least 1: a task that may never start is none".to_owned())
            }
            Self::Concurrency { .. } | Self::Rate { .. } => {
                self.limit().map_or(Ok(()), |(name, bound)| name.check(Some(bound)))
            }
            Self::NoRetry(names) if names.is_empty() => {
                Err("a rule of no exceptions says nothing".to_owned())
            }
            Self::NoRetry(names) => names.check(),
            Self::After(after) => after.check(),
            Self::StartBy(Millis(0)) => Err("a task that must start within 0 ms never could".to_owned()),
            Self::Total(Millis(0)) => Err("a task that must end within 0 ms never could".to_owned()),
            Self::StartBy(_) | Self::Total(_) | Self::RunAt(_) => Ok(()),
            Self::InParts(parts) => parts.check(),
            Self::RedriveOf(task) => Err(format!("only a redrive makes another try of task {task}")),
            Self::Scheduled { .. } => Err("only a schedule says that it submitted a task".to_owned()),
        }
    }

    /// The limit that it names, and what it says of it.
    fn limit(&self) -> Option<(LimitName, Bound)> {
        let (kind, key, bound) = if let Self::Concurrency { key, max } = self {
            (LimitKind::Concurrency, key, Bound { max: *max, per: Millis(0) })
        } else if let Self::Rate { key, max, per } = self {
            (LimitKind::Rate, key, Bound { max: *max, per: *per })
        } else {
            return None;
        };
        Some((LimitName { kind, key: key.clone() }, bound))
    }
}

/// The rules of a submit: at most one of each kind, in the order of the kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// No rules.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in the order of the kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// Tags that a worker must offer.
    pub fn tags(&self) -> &Tags {
        let tags = self.find(|rule| if let Rule::Tags(tags) = rule { Some(tags) } else { None });
        tags.unwrap_or(Tags::NONE)
    }

    /// The task that this one is another try of.
    pub fn redrive_of(&self) -> Option<TaskId> {
        self.find(|rule| if let Rule::RedriveOf(task) = rule { Some(*task) } else { None })
    }

    /// Exceptions after which the task is not tried again.
    pub fn no_retry(&self) -> Option<&Exceptions> {
        self.find(|rule| if let Rule::NoRetry(names) = rule { Some(names) } else { None })
    }

    /// How long after acceptance the first attempt must have been granted.
    pub fn start_by(&self) -> Option<Millis> {
        self.find(|rule| if let Rule::StartBy(span) = rule { Some(*span) } else { None })
    }

    /// How long after acceptance the task must have ended.
    pub fn total(&self) -> Option<Millis> {
        self.find(|rule| if let Rule::Total(span) = rule { Some(*span) } else { None })
    }

    /// What the calendar must say before the task may start.
    pub fn run_at(&self) -> Option<WallTime> {
        self.find(|rule| if let Rule::RunAt(at) = rule { Some(*at) } else { None })
    }

    /// The tasks that must have ended before.
    pub fn after(&self) -> Option<&After> {
        self.find(|rule| if let Rule::After(after) = rule { Some(after) } else { None })
    }

    /// The limits that they name, and what they say of each.
    pub fn limits(&self) -> impl Iterator<Item = (LimitName, Bound)> {
        self.0.iter().filter_map(Rule::limit)
    }

    /// The schedule that submitted the task, and the nominal time that it was submitted for.
    pub fn origin(&self) -> Option<(&str, ScheduleId, WallTime)> {
        self.find(|rule| {
            let Rule::Scheduled { name, schedule, nominal } = rule else { return None };
            Some((name.as_str(), *schedule, *nominal))
        })
    }

    /// What is said of the arguments, if they were sent in parts.
    pub fn in_parts(&self) -> Option<InParts> {
        self.find(|rule| if let Rule::InParts(parts) = rule { Some(*parts) } else { None })
    }

    fn find<'r, T>(&'r self, value: impl Fn(&'r Rule) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(value)
    }

    /// The deadlines of a task that is accepted now.
    pub(crate) fn deadlines(&self, now: LogTime) -> Option<Box<Deadlines>> {
        let deadlines = Deadlines {
            start_by: self.start_by().map(|span| now.after(span)),
            end_by: self.total().map(|span| now.after(span)),
        };
        (deadlines != Deadlines::default()).then(|| Box::new(deadlines))
    }

    /// The rules of another try of `task`, which had these: its date is long over.
    #[must_use]
    pub(crate) fn redriven(&self, task: TaskId) -> Self {
        let kept = self.0.iter().filter(|rule| !matches!(rule, Rule::RedriveOf(_) | Rule::RunAt(_))).cloned();
        kept.chain([Rule::RedriveOf(task)]).collect()
    }

    /// Checks order and bounds of what a submit asks for.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if !self.0.is_sorted_by(|one, next| one.kind() < next.kind()) {
            return Err("rules come once each, in the order of their kinds".to_owned());
        }
        self.0.iter().try_for_each(Rule::check)
    }

    /// The same, of rules that hold for many tasks: parts belong to one.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check_shared(&self) -> Result<(), String> {
        if self.in_parts().is_some() {
            return Err("only a task that is submitted alone has its arguments in parts".to_owned());
        }
        self.check()
    }
}

/// Puts them in order.
impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        let mut rules: Vec<Rule> = rules.into_iter().collect();
        rules.sort_by_key(Rule::kind);
        Self(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_a_form_and_a_number() {
        assert_eq!(Tags::from_iter(["gpu", "zone=eu-1", "disk:ssd"]).check(), Ok(()));
        for tags in [vec![""], vec!["a b"], vec!["ü"], vec![&*"x".repeat(65)]] {
            let error = Tags::from_iter(tags).check().unwrap_err();
            assert!(error.contains("is no tag"), "{error}");
        }
        assert!((0..=TAGS_MAX).map(|n| n.to_string()).collect::<Tags>().check().is_err());
    }

    #[test]
    fn a_task_is_given_the_results_of_those_alone_that_it_runs_after() {
        let rule = |tasks: &[u128], results: &[u128]| {
            let ids = |ids: &[u128]| ids.iter().copied().map(TaskId::from_u128).collect();
            Rule::After(After { tasks: ids(tasks), results: ids(results), on_failure: OnFailure::Fail })
        };
        assert_eq!(rule(&[1, 2], &[2]).check(), Ok(()));
        assert!(rule(&[1], &[1, 2]).check().unwrap_err().contains("only the results"));
        assert!(rule(&[], &[]).check().is_err());
    }

    #[test]
    fn an_exception_is_named_with_its_module_or_without_one_that_everybody_knows() {
        let names = Exceptions::from_iter(["ValueError", "shop.errors.Broken", "raftwork.TaskTimeout"]);
        assert_eq!(names.check(), Ok(()));
        for class in ["ValueError", "builtins.ValueError", "shop.errors.Broken", "TaskTimeout"] {
            assert!(names.name_any(["KeyError", class].into_iter()), "{class}");
        }
        assert!(!names.name_any(["Broken", "errors.Broken", "other.ValueError"].into_iter()));
        for name in ["", "a..b", "a b", &*"x".repeat(257)] {
            assert!(Exceptions::from_iter([name]).check().is_err(), "{name}");
        }
        assert!((0..=EXCEPTIONS_MAX).map(|n| n.to_string()).collect::<Exceptions>().check().is_err());
    }

    #[test]
    fn parts_belong_to_one_task() {
        let parts = InParts { count: 2, bytes: 10, digest: [1; 32] };
        let rules = Rules::from_iter([Rule::InParts(parts)]);
        assert_eq!(rules.check(), Ok(()));
        assert!(rules.check_shared().unwrap_err().contains("submitted alone"));
    }

    #[test]
    fn a_rule_comes_once() {
        let tags = || Rule::Tags(Tags::from_iter(["gpu"]));
        assert_eq!(Rules::from_iter([tags()]).check(), Ok(()));
        assert!(Rules::from_iter([tags(), tags()]).check().is_err());
        assert!(Rules::from_iter([Rule::Tags(Tags::default())]).check().is_err());
    }
}
