//! Regression trees, read from `model/pairs.txt`, whose head describes the format.

use super::FEATURES;
use std::sync::LazyLock;

const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/model/pairs.txt"));

/// A sum of trees.
pub(super) struct Trees {
    base: f32,
    trees: Vec<Vec<Node>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Leaf(f32),
    /// To the left where the feature is at most the threshold.
    Split {
        feature: usize,
        threshold: f32,
        left: usize,
        right: usize,
    },
}

static TREES: LazyLock<Option<Trees>> = LazyLock::new(|| Trees::read(FILE));

impl Trees {
    /// Those that ship.
    pub fn get() -> Option<&'static Self> {
        TREES.as_ref()
    }

    /// None where anything is not as described, or the features are others than ours.
    fn read(file: &str) -> Option<Self> {
        let mut lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let base = finite(lines.next()?.strip_prefix("base ")?)?;
        let names = lines.next()?.strip_prefix("features ")?;
        if !names.split(' ').eq(FEATURES) {
            return None;
        }
        let trees: Vec<_> = lines.map(tree).collect::<Option<_>>()?;
        (!trees.is_empty()).then_some(Self { base, trees })
    }

    /// The sum of what the trees answer.
    pub fn ask(&self, features: &[f32; FEATURES.len()]) -> f32 {
        self.base + self.trees.iter().map(|tree| leaf(tree, features)).sum::<f32>()
    }
}

fn finite(number: &str) -> Option<f32> {
    number.parse().ok().filter(|number: &f32| number.is_finite())
}

/// Children stand behind their node, so every way through a tree ends.
fn tree(line: &str) -> Option<Vec<Node>> {
    let nodes: Vec<_> = line.split(';').map(node).collect::<Option<_>>()?;
    let ends = nodes.iter().enumerate().all(|(at, node)| match node {
        Node::Leaf(_) => true,
        Node::Split { left, right, .. } => [left, right].iter().all(|child| (at + 1..nodes.len()).contains(child)),
    });
    ends.then_some(nodes)
}

fn node(text: &str) -> Option<Node> {
    let parts: Vec<_> = text.split_ascii_whitespace().collect();
    match parts.as_slice() {
        [value] => Some(Node::Leaf(finite(value)?)),
        [feature, threshold, left, right] => {
            let feature = feature.parse().ok().filter(|feature| *feature < FEATURES.len())?;
            let (left, right) = (left.parse().ok()?, right.parse().ok()?);
            Some(Node::Split { feature, threshold: finite(threshold)?, left, right })
        }
        _ => None,
    }
}

fn leaf(tree: &[Node], features: &[f32; FEATURES.len()]) -> f32 {
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(Node::Split { feature, threshold, left, right }) => {
                at = if features.get(*feature).is_some_and(|value| value <= threshold) { *left } else { *right };
            }
            Some(Node::Leaf(value)) => return *value,
            None => return 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_trees(trees: &str) -> Option<Trees> {
        Trees::read(&format!("# made up\nbase 0.5\nfeatures {}\n{trees}", FEATURES.join(" ")))
    }

    #[test]
    fn trees_add_up() {
        let trees = with_trees("0 0.8 1 2;-0.1;0 0.9 3 4;0.1;0.2\n0.01\n").unwrap();
        let ask = |cosine| {
            let mut features = [0.0; FEATURES.len()];
            features[0] = cosine;
            trees.ask(&features)
        };
        for (cosine, expected) in [(0.7, 0.41), (0.8, 0.41), (0.85, 0.61), (0.95, 0.71)] {
            assert!((ask(cosine) - expected).abs() < 1e-6, "{cosine}: {}", ask(cosine));
        }
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for bad in ["", "x", "0 0.8 0 1;1", "0 0.8 1 2;1", "99 0.8 1 2;1;2", "0 NaN 1 2;1;2", "1;2;inf", "0 0.8 1"] {
            assert!(with_trees(bad).is_none(), "{bad}");
        }
        assert!(Trees::read("base 0.5\nfeatures cosine\n1\n").is_none());
    }
}
