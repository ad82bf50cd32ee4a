//! "Did you mean": the known key that is nearest to an unknown one.

/// Adds the nearest known key to what the TOML parser says about an unknown one.
///
/// The parser names the unknown key first and then all known ones, each between backticks.
pub(super) fn with_nearest_key(message: &str) -> String {
    let line = message.lines().find(|line| line.contains("unknown field"));
    let quoted: Vec<&str> = line.unwrap_or_default().split('`').skip(1).step_by(2).collect();
    let nearest = quoted.split_first().and_then(|(unknown, known)| nearest(unknown, known));
    nearest.map_or_else(
        || message.trim_end().to_owned(),
        |key| format!("{}\ndid you mean `{key}`?", message.trim_end()),
    )
}

/// The candidate with the fewest edits, unless even that one shares little with the word.
fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let near = candidates.iter().map(|candidate| (edits(word, candidate), *candidate)).min()?;
    (near.0 <= word.chars().count().max(3) / 2).then_some(near.1)
}

/// Levenshtein distance, one row at a time.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, distance) in
            [("", "abc", 3), ("name", "nmae", 2), ("data", "data", 0), ("kitten", "sitting", 3)]
        {
            assert_eq!(edits(left, right), distance, "{left} {right}");
        }
    }

    #[test]
    fn a_word_that_is_like_none_gets_no_guess() {
        assert_eq!(nearest("frobnicate", &["name", "id"]), None);
        assert_eq!(nearest("heartbeet", &["heartbeat", "lease_ttl"]), Some("heartbeat"));
    }
}
