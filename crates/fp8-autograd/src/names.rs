//! The nearest known name to a mistyped one.

/// The name among `known` that is fewest edits from `asked`; `None` when all are more than a third of its length away.
pub fn nearest<'a, S: AsRef<str>>(asked: &str, known: &'a [S]) -> Option<&'a str> {
    let distances = known.iter().map(|name| (edits(asked, name.as_ref()), name.as_ref()));
    let (distance, name) = distances.min_by_key(|&(distance, _)| distance)?;
    (distance <= asked.chars().count().max(name.chars().count()).div_ceil(3)).then_some(name)
}

/// ` (did you mean "…"?)`, or nothing; only the last part of a dotted name is compared.
pub(crate) fn suggestion(asked: &str, known: &[String]) -> String {
    let last = asked.rsplit('.').next().unwrap_or(asked);
    nearest(last, known).map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// Levenshtein's distance: insertions, deletions and replacements of characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Whether `name` matches `pattern`, in which each `*` stands for any run of characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name
            .strip_prefix(head)
            .is_some_and(|tail| (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
            assert_eq!(edits(b, a), expected, "{b} {a}");
        }
        assert_eq!(nearest("wieght", &["weight", "error"]), Some("weight"));
        assert_eq!(nearest("zzz", &["weight", "error"]), None);
    }

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("fc", "fc", true),
            ("conv1", "layer1.0.conv1", false),
            ("*.conv1", "layer1.0.conv1", true),
            ("layer*.conv?", "layer1.0.conv1", false),
            ("layer*conv*", "layer1.0.conv1", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
