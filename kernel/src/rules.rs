//! Rules: what a submit asks for that most do not. Kept beside the tasks, so that a task without rules costs nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::limits::{TAG_BYTES_MAX, TAGS_MAX};

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

/// One thing to ask for. New kinds go to the end: what was written down before keeps its meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rule {
    /// Only a worker that offers all of these may run the task.
    Tags(Tags),
}

impl Rule {
    const fn kind(&self) -> u8 {
        match self {
            Self::Tags(_) => 0,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Tags(tags) if tags.is_empty() => Err("a rule of no tags says nothing".to_owned()),
            Self::Tags(tags) => tags.check(),
        }
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
        let tags = self.0.iter().map(|Rule::Tags(tags)| tags).next();
        tags.unwrap_or(Tags::NONE)
    }

    /// Checks order and bounds.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if !self.0.is_sorted_by(|one, next| one.kind() < next.kind()) {
            return Err("rules come once each, in the order of their kinds".to_owned());
        }
        self.0.iter().try_for_each(Rule::check)
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
    fn a_rule_comes_once() {
        let tags = || Rule::Tags(Tags::from_iter(["gpu"]));
        assert_eq!(Rules::from_iter([tags()]).check(), Ok(()));
        assert!(Rules::from_iter([tags(), tags()]).check().is_err());
        assert!(Rules::from_iter([Rule::Tags(Tags::default())]).check().is_err());
    }
}
